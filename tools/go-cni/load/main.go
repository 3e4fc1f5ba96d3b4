// cni-load prints what containerd loads from CNI configuration folders, or why it loads nothing: one JSON object per
// folder and line. It calls containerd's own loader (go-cni on libcni) with containerd's own settings, and runs no
// plugin. No network is an answer and not a failure: the exit code is 0 then too.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	gocni "github.com/containerd/go-cni"
)

type loaded struct {
	Folder     string   `json:"folder"`
	Network    string   `json:"network"`
	CNIVersion string   `json:"cniVersion"`
	Plugins    []string `json:"plugins"`
	Error      string   `json:"error"`
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: cni-load FOLDER...")
		os.Exit(2)
	}
	answers := json.NewEncoder(os.Stdout)
	for _, folder := range os.Args[1:] {
		if err := answers.Encode(load(folder)); err != nil {
			fmt.Fprintln(os.Stderr, "cni-load:", err)
			os.Exit(1)
		}
	}
}

func load(folder string) loaded {
	result := loaded{Folder: folder, Plugins: []string{}}
	// containerd sets max_conf_num to 1 unless told otherwise: the first file by name, good or bad.
	loader, err := gocni.New(gocni.WithPluginConfDir(folder), gocni.WithPluginMaxConfNum(1))
	if err == nil {
		err = loader.Load(gocni.WithDefaultConf)
	}
	if err != nil {
		result.Error = err.Error()
		return result
	}
	for _, network := range loader.GetConfig().Networks {
		result.Network, result.CNIVersion = network.Config.Name, network.Config.CNIVersion
		for _, plugin := range network.Config.Plugins {
			result.Plugins = append(result.Plugins, plugin.Network.Type)
		}
	}
	return result
}
