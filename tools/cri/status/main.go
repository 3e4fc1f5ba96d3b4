// cri-status prints what a container runtime says of itself: the answer to CRI's Status with verbose set, as JSON.
//
// containerd tells there which CNI configuration it has loaded and whether its last load failed. crictl cannot be
// built as a Go module of its own, and this one call is all that is needed of it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

type condition struct {
	Status  bool   `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

type answer struct {
	Conditions map[string]condition       `json:"conditions"`
	Info       map[string]json.RawMessage `json:"info"`
}

func main() {
	socket := flag.String("socket", "/run/containerd/containerd.sock", "unix socket of the runtime")
	timeout := flag.Duration("timeout", 10*time.Second, "time limit")
	flag.Parse()
	if err := run(*socket, *timeout); err != nil {
		fmt.Fprintln(os.Stderr, "cri-status:", err)
		os.Exit(1)
	}
}

func run(socket string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	reply, err := runtime.NewRuntimeServiceClient(connection).Status(ctx, &runtime.StatusRequest{Verbose: true})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(shown(reply))
}

func shown(reply *runtime.StatusResponse) answer {
	result := answer{Conditions: map[string]condition{}, Info: map[string]json.RawMessage{}}
	for _, item := range reply.GetStatus().GetConditions() {
		result.Conditions[item.GetType()] = condition{item.GetStatus(), item.GetReason(), item.GetMessage()}
	}
	for key, value := range reply.GetInfo() {
		if raw := json.RawMessage(value); json.Valid(raw) {
			result.Info[key] = raw
		} else { // containerd has plain words beside the JSON documents
			result.Info[key], _ = json.Marshal(value)
		}
	}
	return result
}
