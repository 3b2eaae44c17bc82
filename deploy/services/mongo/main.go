// A MongoDB-wire server that keeps its data in SQLite files: FerretDB v1, embedded.
// (Its own command refuses to start when built from the module proxy: its version
// file is generated. Embedded there is neither that file nor telemetry.)
package main

import (
	"context"
	"flag"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:27017", "host:port")
	tls := flag.String("tls", "", "host:port of a listener with TLS, beside the other")
	certificate := flag.String("certificate", "", "PEM of the TLS listener's certificate")
	key := flag.String("key", "", "PEM of its key")
	ca := flag.String("ca", "", "PEM of who signs clients' certificates; empty: none is asked for")
	data := flag.String("data", "data", "folder of the SQLite files; must exist")
	flag.Parse()

	server, err := ferretdb.New(&ferretdb.Config{
		Listener: ferretdb.ListenerConfig{
			TCP: *listen, TLS: *tls,
			TLSCertFile: *certificate, TLSKeyFile: *key, TLSCAFile: *ca,
		},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Handler:   "sqlite",
		SQLiteURL: "file:" + *data + "/",
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := server.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
