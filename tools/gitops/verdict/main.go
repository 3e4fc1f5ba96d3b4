// gitops-verdict tells what GitOps tools make of objects: kstatus, Flux with health check expressions, and Argo CD with
// a health script.
//
// All three are the engines that the tools themselves run: Flux's fork of kstatus, Flux's evaluator of
// spec.healthCheckExprs, and the Lua interpreter of Argo CD with no more libraries opened than Argo CD opens. It reads
// one JSON document from stdin and prints one verdict per object. `gitops-verdict action` runs a script of an action of
// Argo CD instead and prints what it returns for each object.
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
	job := run
	if len(os.Args) == 2 && os.Args[1] == "action" {
		job = act
	}
	if err := job(os.Stdin, os.Stdout); err != nil {
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

// actionInput: a script of an action, or of their discovery, and the objects to run it on.
type actionInput struct {
	Script  string            `json:"script"`
	Objects []json.RawMessage `json:"objects"`
}

// act runs an action's script on each object and prints what it returns.
func act(from io.Reader, to io.Writer) error {
	var asked actionInput
	if err := json.NewDecoder(from).Decode(&asked); err != nil {
		return fmt.Errorf("stdin: %w", err)
	}
	results := []any{}
	for at, raw := range asked.Objects {
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(raw); err != nil {
			return fmt.Errorf("objects[%d]: %w", at, err)
		}
		result, err := returned(object, asked.Script)
		if err != nil {
			return fmt.Errorf("objects[%d]: %w", at, err)
		}
		results = append(results, result)
	}
	return json.NewEncoder(to).Encode(results)
}

func returned(object *unstructured.Unstructured, script string) (any, error) {
	state, done, err := runScript(object, script)
	defer done()
	if err != nil {
		return nil, err
	}
	return fromLua(state.Get(-1), object.Object), nil
}

// fromLua: an empty table may be a list or a map. As in Argo CD it becomes what it was in the object before.
func fromLua(value lua.LValue, before any) any {
	switch typed := value.(type) {
	case lua.LBool:
		return bool(typed)
	case lua.LNumber:
		return float64(typed)
	case lua.LString:
		return string(typed)
	case *lua.LTable:
		was, isMap := before.(map[string]any)
		list, isList := before.([]any)
		if typed.Len() > 0 || (isList && len(list) == 0) {
			items := []any{}
			for at := 1; at <= typed.Len(); at++ {
				var old any
				if at <= len(list) {
					old = list[at-1]
				}
				items = append(items, fromLua(typed.RawGetInt(at), old))
			}
			return items
		}
		items := map[string]any{}
		typed.ForEach(func(key, item lua.LValue) {
			var old any
			if isMap {
				old = was[key.String()]
			}
			items[key.String()] = fromLua(item, old)
		})
		return items
	}
	return nil
}

// runScript runs a script with the object as `obj`; what it returns is on top of the state's stack.
func runScript(object *unstructured.Unstructured, script string) (*lua.LState, func(), error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	ctx, cancel := context.WithTimeout(context.Background(), scriptTimeout)
	done := func() { cancel(); state.Close() }
	state.SetContext(ctx)
	for name, open := range map[string]lua.LGFunction{
		lua.BaseLibName: lua.OpenBase,
		lua.TabLibName:  lua.OpenTable,
	} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		if err := state.PCall(1, 0, nil); err != nil {
			return state, done, err
		}
	}
	state.SetGlobal("obj", toLua(state, object.Object))
	return state, done, state.DoString(script)
}

// argo runs a health script and returns its status and message.
func argo(object *unstructured.Unstructured, script string) (string, string, error) {
	state, done, err := runScript(object, script)
	defer done()
	if err != nil {
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
