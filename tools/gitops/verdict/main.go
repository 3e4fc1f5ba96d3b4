// gitops-verdict tells what GitOps tools make of objects: kstatus, Flux with health check expressions, and Argo CD with
// a health script.
//
// All three are the engines that the tools themselves run: Flux's fork of kstatus, Flux's evaluator of
// spec.healthCheckExprs, and the Lua interpreter of Argo CD with no more libraries opened than Argo CD opens. It reads
// one JSON document from stdin and prints one verdict per object.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/engine"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Argo CD stops a script after one second; a busy machine gets more here, as speed is not what is asked.
const scriptTimeout = 10 * time.Second

// input: health scripts by kind, health checks as in a Kustomization of Flux, and the objects to judge.
type input struct {
	Scripts map[string]string             `json:"scripts"`
	Checks  []kustomize.CustomHealthCheck `json:"checks"`
	Objects []json.RawMessage             `json:"objects"`
}

type verdict struct {
	Kstatus     string `json:"kstatus"`
	Flux        string `json:"flux"`
	FluxError   string `json:"fluxError"`
	ArgoCD      string `json:"argocd"`
	ArgoMessage string `json:"argocdMessage"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gitops-verdict:", err)
		os.Exit(1)
	}
}

func run(from io.Reader, to io.Writer) error {
	var asked input
	if err := json.NewDecoder(from).Decode(&asked); err != nil {
		return fmt.Errorf("stdin: %w", err)
	}
	newReader, err := cel.NewStatusReader(asked.Checks)
	if err != nil {
		return err
	}
	reader := newReader(nil) // maps kinds for look-ups in a cluster, and there is none
	verdicts := []verdict{}
	for at, raw := range asked.Objects {
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(raw); err != nil {
			return fmt.Errorf("objects[%d]: %w", at, err)
		}
		one, err := judge(object, reader, asked.Scripts[object.GetKind()])
		if err != nil {
			return fmt.Errorf("objects[%d]: %w", at, err)
		}
		verdicts = append(verdicts, one)
	}
	return json.NewEncoder(to).Encode(verdicts)
}

func judge(object *unstructured.Unstructured, reader engine.StatusReader, script string) (verdict, error) {
	plain, err := status.Compute(object)
	if err != nil {
		return verdict{}, fmt.Errorf("kstatus: %w", err)
	}
	flux, why := plain.Status, ""
	if reader.Supports(object.GroupVersionKind().GroupKind()) {
		// An expression that cannot be evaluated gives Unknown, and Flux waits on.
		read, err := reader.ReadStatusForObject(context.Background(), nil, object)
		if err != nil {
			return verdict{}, fmt.Errorf("health checks: %w", err)
		}
		flux = read.Status
		if read.Error != nil {
			why = read.Error.Error()
		}
	}
	health, message, err := argo(object, script)
	if err != nil {
		return verdict{}, fmt.Errorf("health script of %s: %w", object.GetKind(), err)
	}
	return verdict{plain.Status.String(), flux.String(), why, health, message}, nil
}

// argo runs a health script and returns its status and message.
func argo(object *unstructured.Unstructured, script string) (string, string, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	ctx, cancel := context.WithTimeout(context.Background(), scriptTimeout)
	defer cancel()
	state.SetContext(ctx)
	for name, open := range map[string]lua.LGFunction{
		lua.BaseLibName: lua.OpenBase,
		lua.TabLibName:  lua.OpenTable,
	} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		if err := state.PCall(1, 0, nil); err != nil {
			return "", "", err
		}
	}
	state.SetGlobal("obj", toLua(state, object.Object))
	if err := state.DoString(script); err != nil {
		return "", "", err
	}
	answer, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return "", "", errors.New("it returns no table")
	}
	health, ok := answer.RawGetString("status").(lua.LString)
	if !ok {
		return "", "", errors.New("its table has no status")
	}
	message, ok := answer.RawGetString("message").(lua.LString)
	if !ok {
		return "", "", errors.New("its table has no message")
	}
	return string(health), string(message), nil
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch typed := value.(type) {
	case bool:
		return lua.LBool(typed)
	case int64:
		return lua.LNumber(typed)
	case float64:
		return lua.LNumber(typed)
	case string:
		return lua.LString(typed)
	case []any:
		table := state.NewTable()
		for _, item := range typed {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range typed {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	}
	return lua.LNil
}
