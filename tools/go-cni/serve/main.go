// cri-stand-in answers CRI's Version and Status as a containerd of the given version does, for tests of the agent: the
// CNI configuration is loaded by containerd's own loader (go-cni on libcni), and loaded anew at the same events of the
// folder (a write, rename or removal in it; what happens in a folder inside it goes unnoticed). It runs no container.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	gocni "github.com/containerd/go-cni"
	"github.com/fsnotify/fsnotify"
	"google.golang.org/grpc"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

type server struct {
	runtime.UnimplementedRuntimeServiceServer
	version string
	loader  gocni.CNI
	lock    sync.Mutex
	failed  error
}

func main() {
	folder := flag.String("conf-dir", "/etc/cni/net.d", "CNI configuration folder")
	socket := flag.String("socket", "", "unix socket to listen on")
	version := flag.String("version", "v2.1.0", "containerd's version to give")
	flag.Parse()
	if err := serve(*folder, *socket, *version); err != nil {
		fmt.Fprintln(os.Stderr, "cri-stand-in:", err)
		os.Exit(1)
	}
}

func serve(folder, socket, version string) error {
	// The loopback network counts as one of the two, as in containerd.
	loader, err := gocni.New(
		gocni.WithPluginConfDir(folder), gocni.WithPluginMaxConfNum(1), gocni.WithMinNetworkCount(2))
	if err != nil {
		return err
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := watcher.Add(folder); err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	answering := &server{version: version, loader: loader}
	answering.load()
	go func() {
		for event := range watcher.Events {
			if !event.Has(fsnotify.Chmod) && !event.Has(fsnotify.Create) {
				answering.load()
			}
		}
	}()
	rpc := grpc.NewServer()
	runtime.RegisterRuntimeServiceServer(rpc, answering)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-signals
		rpc.Stop()
	}()
	return rpc.Serve(listener)
}

func (s *server) load() {
	err := s.loader.Load(gocni.WithLoNetwork, gocni.WithDefaultConf)
	s.lock.Lock()
	defer s.lock.Unlock()
	s.failed = err
}

func (s *server) Version(context.Context, *runtime.VersionRequest) (*runtime.VersionResponse, error) {
	return &runtime.VersionResponse{
		Version: "0.1.0", RuntimeName: "containerd", RuntimeVersion: s.version, RuntimeApiVersion: "v1"}, nil
}

func (s *server) Status(context.Context, *runtime.StatusRequest) (*runtime.StatusResponse, error) {
	network := &runtime.RuntimeCondition{Type: runtime.NetworkReady, Status: true}
	if err := s.loader.Status(); err != nil {
		network.Status, network.Reason = false, "NetworkPluginNotReady"
		network.Message = fmt.Sprintf("Network plugin returns error: %v", err)
	}
	config, err := json.Marshal(s.loader.GetConfig())
	if err != nil {
		return nil, err
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	said := "OK"
	if s.failed != nil {
		said = s.failed.Error()
	}
	ready := &runtime.RuntimeCondition{Type: runtime.RuntimeReady, Status: true}
	return &runtime.StatusResponse{
		Status: &runtime.RuntimeStatus{Conditions: []*runtime.RuntimeCondition{ready, network}},
		Info:   map[string]string{"cniconfig": string(config), "lastCNILoadStatus": said},
	}, nil
}
