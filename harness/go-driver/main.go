// Lockproof's driver for the real library: a long-lived process that holds stores of containers/storage open and makes
// the calls that it is told.
//
// Each line of standard input is a call, a JSON object:
//
//	{"id": 1, "store": "a", "call": "open", "args": ["/dir/root", "/dir/run"]}
//	{"id": 2, "store": "a", "goroutine": "t1", "call": "names", "args": ["base"]}
//
// Calls of one goroutine are made one after the other, those of different ones side by side. Each line of standard output
// is an answer: {"id": 2, "value": ["foo"]} or {"id": 2, "error": "layer not known"}. What it cannot understand is an
// answer too, with id 0. A goroutine whose call is "thread" stays on one thread from then on, and answers with its number.
// At the end of its input it waits a little for the calls that are under way, and ends: with status
// 3 if one is stuck, so that it never outlives who started it by much.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/containers/storage"
	"github.com/containers/storage/pkg/reexec"
)

// grace is how long calls may go on after the end of the input.
const grace = 2 * time.Second

type request struct {
	ID        int      `json:"id"`
	Store     string   `json:"store"`
	Goroutine string   `json:"goroutine"`
	Call      string   `json:"call"`
	Args      []string `json:"args"`
}

type answer struct {
	ID    int         `json:"id"`
	Value interface{} `json:"value,omitempty"`
	Error string      `json:"error,omitempty"`
}

// call is one call of the store's API, named as scenarios name it.
type call struct {
	least int // how many arguments it needs
	run   func(s storage.Store, args []string) (interface{}, error)
}

// driver is what the goroutines share; mu guards the maps, and is never held during a call of the library.
type driver struct {
	mu     sync.Mutex
	stores map[string]storage.Store
	diffs  map[string][]io.ReadCloser // open, by store, goroutine and layer
	out    *json.Encoder
}

var calls = map[string]call{
	"status":  {0, func(s storage.Store, _ []string) (interface{}, error) { return s.Status() }},
	"names":   {1, func(s storage.Store, a []string) (interface{}, error) { return s.Names(a[0]) }},
	"lookup":  {1, func(s storage.Store, a []string) (interface{}, error) { return s.Lookup(a[0]) }},
	"exists":  {1, func(s storage.Store, a []string) (interface{}, error) { return s.Exists(a[0]), nil }},
	"mounted": {1, func(s storage.Store, a []string) (interface{}, error) { return s.Mounted(a[0]) }},
	"layers": {0, func(s storage.Store, _ []string) (interface{}, error) {
		layers, err := s.Layers()
		ids := make([]string, 0, len(layers))
		for _, layer := range layers {
			ids = append(ids, layer.ID)
		}
		return ids, err
	}},
	"images": {0, func(s storage.Store, _ []string) (interface{}, error) {
		images, err := s.Images()
		ids := make([]string, 0, len(images))
		for _, image := range images {
			ids = append(ids, image.ID)
		}
		return ids, err
	}},
	"containers": {0, func(s storage.Store, _ []string) (interface{}, error) {
		containers, err := s.Containers()
		ids := make([]string, 0, len(containers))
		for _, container := range containers {
			ids = append(ids, container.ID)
		}
		return ids, err
	}},
	// put-layer ID [PARENT [NAME…]]: with contents, an empty archive.
	"put-layer": {1, func(s storage.Store, a []string) (interface{}, error) {
		var archive bytes.Buffer
		if err := tar.NewWriter(&archive).Close(); err != nil {
			return nil, err
		}
		return put(s, a[0], at(a, 1), from(a, 2), &archive)
	}},
	// pull-layer ID PARENT FILE [NAME…]: with contents that are read from FILE; a pipe keeps the pull under way.
	"pull-layer": {3, func(s storage.Store, a []string) (interface{}, error) {
		archive, err := os.Open(a[2])
		if err != nil {
			return nil, err
		}
		defer archive.Close()
		return put(s, a[0], a[1], from(a, 3), archive)
	}},
	"create-layer": {1, func(s storage.Store, a []string) (interface{}, error) {
		layer, err := s.CreateLayer(a[0], at(a, 1), from(a, 2), "", false, nil)
		if err != nil {
			return nil, err
		}
		return layer.ID, nil
	}},
	// create-image ID [LAYER [NAME…]]
	"create-image": {1, func(s storage.Store, a []string) (interface{}, error) {
		image, err := s.CreateImage(a[0], from(a, 2), at(a, 1), "", &storage.ImageOptions{})
		if err != nil {
			return nil, err
		}
		return image.ID, nil
	}},
	// create-container ID [IMAGE [NAME…]]
	"create-container": {1, func(s storage.Store, a []string) (interface{}, error) {
		container, err := s.CreateContainer(a[0], from(a, 2), at(a, 1), "", "", &storage.ContainerOptions{})
		if err != nil {
			return nil, err
		}
		return container.ID, nil
	}},
	"set-names":        {1, func(s storage.Store, a []string) (interface{}, error) { return nil, s.SetNames(a[0], a[1:]) }},
	"delete-layer":     {1, func(s storage.Store, a []string) (interface{}, error) { return nil, s.DeleteLayer(a[0]) }},
	"delete-image":     {1, func(s storage.Store, a []string) (interface{}, error) { return s.DeleteImage(a[0], true) }},
	"delete-container": {1, func(s storage.Store, a []string) (interface{}, error) { return nil, s.DeleteContainer(a[0]) }},
	"mount":            {1, func(s storage.Store, a []string) (interface{}, error) { return s.Mount(a[0], "") }},
	"unmount":          {1, func(s storage.Store, a []string) (interface{}, error) { return s.Unmount(a[0], false) }},
	"shutdown":         {0, func(s storage.Store, _ []string) (interface{}, error) { return s.Shutdown(false) }},
}

func put(s storage.Store, id, parent string, names []string, archive io.Reader) (interface{}, error) {
	layer, _, err := s.PutLayer(id, parent, names, "", false, nil, archive)
	if err != nil {
		return nil, err
	}
	return layer.ID, nil
}

func at(args []string, index int) string {
	if index < len(args) {
		return args[index]
	}
	return ""
}

func from(args []string, index int) []string {
	if index < len(args) {
		return args[index:]
	}
	return nil
}

// make makes one call: of the driver itself (thread, open, diff, close-diff), or of the store.
func (d *driver) make(r request) (interface{}, error) {
	if r.Call == "thread" {
		runtime.LockOSThread() // so that whoever watches system calls knows whose they are
		return syscall.Gettid(), nil
	}
	if r.Call == "open" {
		if len(r.Args) < 2 {
			return nil, fmt.Errorf("open needs the graph root and the run root")
		}
		store, err := storage.GetStore(storage.StoreOptions{GraphRoot: r.Args[0], RunRoot: r.Args[1], GraphDriverName: "vfs"})
		if err != nil {
			return nil, err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.stores[r.Store] = store
		return nil, nil
	}
	d.mu.Lock()
	store := d.stores[r.Store]
	d.mu.Unlock()
	if store == nil {
		return nil, fmt.Errorf("no store %q is open", r.Store)
	}
	key := r.Store + " " + r.Goroutine + " " + at(r.Args, 0)
	switch r.Call {
	case "diff":
		diff, err := store.Diff("", at(r.Args, 0), nil)
		if err != nil {
			return nil, err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.diffs[key] = append(d.diffs[key], diff)
		return nil, nil
	case "close-diff":
		d.mu.Lock()
		open := d.diffs[key]
		if len(open) == 0 {
			// One that was opened before the goroutines went is anybody's.
			key = r.Store + " main " + at(r.Args, 0)
			open = d.diffs[key]
		}
		if len(open) == 0 {
			d.mu.Unlock()
			return nil, fmt.Errorf("goroutine %q has no diff of %q open", r.Goroutine, at(r.Args, 0))
		}
		last := len(open) - 1
		d.diffs[key] = open[:last]
		d.mu.Unlock()
		return nil, open[last].Close()
	}
	known, found := calls[r.Call]
	if !found {
		return nil, fmt.Errorf("no call is named %q", r.Call)
	}
	if len(r.Args) < known.least {
		return nil, fmt.Errorf("%s needs %d arguments, and has %d", r.Call, known.least, len(r.Args))
	}
	return known.run(store, r.Args)
}

func (d *driver) answer(a answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.out.Encode(a); err != nil {
		os.Exit(1) // nobody listens any more
	}
}

func main() {
	if reexec.Init() {
		return // a helper of the library, which runs this very program
	}
	d := &driver{stores: map[string]storage.Store{}, diffs: map[string][]io.ReadCloser{}, out: json.NewEncoder(os.Stdout)}
	goroutines := map[string]chan request{}
	var running sync.WaitGroup
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			d.answer(answer{Error: err.Error()})
			continue
		}
		queue, found := goroutines[r.Goroutine]
		if !found {
			queue = make(chan request, 64)
			goroutines[r.Goroutine] = queue
			running.Add(1)
			go func() {
				defer running.Done()
				for r := range queue {
					value, err := d.make(r)
					if err != nil {
						d.answer(answer{ID: r.ID, Error: err.Error()})
						continue
					}
					d.answer(answer{ID: r.ID, Value: value})
				}
			}()
		}
		queue <- r
	}
	for _, queue := range goroutines {
		close(queue)
	}
	done := make(chan struct{})
	go func() {
		running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(grace):
		os.Exit(3)
	}
}
