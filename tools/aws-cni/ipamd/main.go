// ipamd-stand-in hands out pod addresses to the real aws-cni plugin.
//
// It is a stand-in for aws-node's ipamd, which needs the EC2 API. The plugin asks its ipamd over gRPC for each pod;
// the service and its messages are VPC CNI's own package. The addresses come from one range, as if all belonged to the
// node's primary interface (device 0, main route table); no network interface is ever attached.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/aws/amazon-vpc-cni-k8s/rpc"
	"google.golang.org/grpc"
)

func main() {
	socket := flag.String("socket", "/var/run/aws-node/ipamd.sock", "unix socket, as the plugin has it built in")
	pods := flag.String("pods", "192.168.64.0/24", "range of IPv4 addresses for pods")
	vpc := flag.String("vpc", "192.168.0.0/16", "range of the VPC, which the plugin is told")
	flag.Parse()
	if err := run(*socket, *pods, *vpc); err != nil {
		fmt.Fprintln(os.Stderr, "ipamd-stand-in:", err)
		os.Exit(1)
	}
}

func run(socket, pods, vpc string) error {
	prefix, err := netip.ParsePrefix(pods)
	if err != nil {
		return fmt.Errorf("-pods: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	rpc.RegisterCNIBackendServer(server, &backend{prefix: prefix, vpc: vpc, used: map[netip.Addr]string{}})
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	go func() {
		<-ctx.Done()
		server.Stop()
	}()
	fmt.Println("ipamd-stand-in: serving on", socket)
	return server.Serve(listener)
}

// backend keeps which container has which address; it starts with none taken.
type backend struct {
	rpc.UnimplementedCNIBackendServer
	prefix netip.Prefix
	vpc    string
	mu     sync.Mutex
	used   map[netip.Addr]string
}

func (b *backend) AddNetwork(_ context.Context, in *rpc.AddNetworkRequest) (*rpc.AddNetworkReply, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// The first four addresses of a subnet are Amazon's.
	address := b.prefix.Masked().Addr().Next().Next().Next().Next()
	for ; b.prefix.Contains(address); address = address.Next() {
		if b.used[address] != "" {
			continue
		}
		b.used[address] = in.GetContainerID()
		fmt.Printf("add %s/%s %s\n", in.GetK8S_POD_NAMESPACE(), in.GetK8S_POD_NAME(), address)
		return &rpc.AddNetworkReply{
			Success:              true,
			IPAllocationMetadata: []*rpc.IPAllocationMetadata{metadata(address)},
			VPCv4CIDRs:           []string{b.vpc},
		}, nil
	}
	fmt.Printf("add %s/%s: no address is left in %s\n", in.GetK8S_POD_NAMESPACE(), in.GetK8S_POD_NAME(), b.prefix)
	return &rpc.AddNetworkReply{Success: false}, nil
}

func (b *backend) DelNetwork(_ context.Context, in *rpc.DelNetworkRequest) (*rpc.DelNetworkReply, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	reply := &rpc.DelNetworkReply{Success: true}
	for address, container := range b.used {
		if container == in.GetContainerID() {
			delete(b.used, address)
			reply.IPAllocationMetadata = append(reply.IPAllocationMetadata, metadata(address))
			fmt.Printf("del %s/%s %s\n", in.GetK8S_POD_NAMESPACE(), in.GetK8S_POD_NAME(), address)
		}
	}
	return reply, nil
}

func metadata(address netip.Addr) *rpc.IPAllocationMetadata {
	return &rpc.IPAllocationMetadata{IPv4Addr: address.String(), DeviceNumber: 0, RouteTableId: 1}
}
