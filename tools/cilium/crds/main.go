// cilium-crds registers Cilium's CRDs in a cluster, once, and exits.
//
// It is a stand-in for the one thing that cilium-operator does before all else. The fake pods of kwok run no
// program, so nothing in such a cluster would register the CRDs that cilium-agent waits for. The CRDs and the
// code that creates each are Cilium's own (crdhelpers.CreateUpdateCRD, which cilium-operator calls at its
// start); the choice among them follows the cluster's cilium-config, as there. They are always those of the
// Cilium release in go.mod, whichever release the cluster's pods name. Where cilium-operator makes one after
// the other and looks twice a second whether it is established, here all are made at once: ten seconds less
// in each cluster of a test.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	ciliumio "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	"github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client"
	"github.com/cilium/cilium/pkg/k8s/apis/crdhelpers"
	"github.com/cilium/cilium/pkg/k8s/synced"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/versioncheck"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "path of the kubeconfig of the cluster")
	namespace := flag.String("namespace", "kube-system", "namespace of the ConfigMap cilium-config")
	verbose := flag.Bool("v", false, "log each CRD")
	flag.Parse()

	out := io.Discard
	if *verbose {
		out = os.Stderr
	}
	logger := slog.New(slog.NewTextHandler(out, nil))
	if err := run(*kubeconfig, *namespace, logger); err != nil {
		fmt.Fprintln(os.Stderr, "cilium-crds:", err)
		os.Exit(1)
	}
}

func run(kubeconfig, namespace string, logger *slog.Logger) error {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("cannot use the kubeconfig %q: %w", kubeconfig, err)
	}
	cfg.Timeout = 20 * time.Second
	cfg.QPS, cfg.Burst = 50, 100
	if err := readCiliumConfig(cfg, namespace); err != nil {
		return err
	}
	clientset, err := apiextensions.NewForConfig(cfg)
	if err != nil {
		return err
	}
	return register(logger, clientset)
}

// register creates or updates Cilium's CRDs, all at once, and waits until they are established.
func register(logger *slog.Logger, clientset apiextensions.Interface) error {
	crds := client.CustomResourceDefinitionList()
	needsUpdate := crdhelpers.NeedsUpdateV1Factory(
		ciliumio.CustomResourceDefinitionSchemaVersionKey,
		versioncheck.MustVersion(ciliumio.CustomResourceDefinitionSchemaVersion),
	)
	names := synced.AllCiliumCRDResourceNames()
	failures := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		crd, ok := crds[name]
		if !ok {
			return fmt.Errorf("Cilium has no CRD for its resource %s", name)
		}
		all.Add(1)
		go func() {
			defer all.Done()
			wanted := &apiextensionsv1.CustomResourceDefinition{
				ObjectMeta: metav1.ObjectMeta{
					Name: crd.FullName,
					Labels: map[string]string{
						ciliumio.CustomResourceDefinitionSchemaVersionKey: ciliumio.CustomResourceDefinitionSchemaVersion,
					},
				},
				Spec: client.GetPregeneratedCRD(logger, crd.Name).Spec,
			}
			failures[i] = crdhelpers.CreateUpdateCRD(logger, clientset, wanted, often{}, needsUpdate)
		}()
	}
	all.Wait()
	return errors.Join(failures...)
}

// often looks every 50 ms, whatever interval is asked for.
type often struct{}

func (often) Poll(_, limit time.Duration, is func() (bool, error)) error {
	look := func(context.Context) (bool, error) { return is() }
	return wait.PollUntilContextTimeout(context.Background(), 50*time.Millisecond, limit, false, look)
}

// readCiliumConfig sets the options on which Cilium's choice of CRDs depends. A key that is absent, or a
// cluster without a cilium-config, leaves Cilium's own default.
func readCiliumConfig(cfg *rest.Config, namespace string) error {
	clientset, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cm, err := clientset.CoreV1().ConfigMaps(namespace).Get(ctx, "cilium-config", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the ConfigMap %s/cilium-config: %w", namespace, err)
	}
	c := option.Config
	for key, field := range map[string]*bool{
		option.DisableCiliumEndpointCRDName:         &c.DisableCiliumEndpointCRD,
		option.EnableBGPControlPlane:                &c.EnableBGPControlPlane,
		option.EnableCiliumClusterwideNetworkPolicy: &c.EnableCiliumClusterwideNetworkPolicy,
		option.EnableCiliumEndpointSlice:            &c.EnableCiliumEndpointSlice,
		option.EnableCiliumNetworkPolicy:            &c.EnableCiliumNetworkPolicy,
		option.EnableCiliumNodeCRDName:              &c.EnableCiliumNodeCRD,
		option.EnableDatapathPlugins:                &c.EnableDatapathPlugins,
		option.EnableEgressGateway:                  &c.EnableEgressGateway,
		option.EnableEnvoyConfig:                    &c.EnableEnvoyConfig,
		option.EnableLocalRedirectPolicy:            &c.EnableLocalRedirectPolicy,
	} {
		value, ok := cm.Data[key]
		if !ok {
			continue
		}
		if *field, err = strconv.ParseBool(value); err != nil {
			return fmt.Errorf("ConfigMap %s/cilium-config: %s is %q, not true or false", namespace, key, value)
		}
	}
	return nil
}
