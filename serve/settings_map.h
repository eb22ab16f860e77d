/* serve/settings_map.h - the table of settings.
 *
 * One row: flag, member of settings, type, placeholder (NULL: a switch; "X ..." may be
 * repeated), least, most, default, a sentence.  Types: LIST, TEXT, WORD (of the
 * placeholder's, '|' between), SWITCH, NUMBER, BYTES (8G, 512M, 4096), SECRET (a text
 * that has no flag, because other users see those). */
#ifndef SERVE_SETTINGS_MAP_H
#define SERVE_SETTINGS_MAP_H

#define SETTINGS_MAP(X)                                                                  \
    X("task", tasks, LIST, "PATH ...", 0, 0, 0,                                          \
      "Serve the task of this contract or folder.")                                      \
    X("model", models, LIST, "[NAME=]MODEL ...", 0, 0, 0,                                \
      "Serve this model: a name or a file, as in a contract.")                           \
    X("adapter", adapters, LIST, "NAME=PATH@MODEL ...", 0, 0, 0,                         \
      "Serve a LoRA adapter over a model under a name of its own.")                      \
    X("listen", listen, TEXT, "HOST:PORT", 0, 0, 0,                                      \
      "Where to listen; 127.0.0.1:8080 by default. A port alone is one of 127.0.0.1.")   \
    X("data", data, TEXT, "DIR", 0, 0, 0,                                                \
      "Keep here what the admin routes loaded, for the next start.")                     \
    X("api-keys", api_keys, TEXT, "FILE", 0, 0, 0,                                       \
      "Serve who shows a key of this file (stint key new).")                             \
    X("no-auth", no_auth, SWITCH, NULL, 0, 0, 0,                                         \
      "Serve everybody, also on addresses that others reach.")                           \
    X("tls-cert", tls_cert, TEXT, "FILE", 0, 0, 0, "Certificate chain, PEM.")            \
    X("tls-key", tls_key, TEXT, "FILE", 0, 0, 0, "Its private key, PEM.")                \
    X("tls-client-ca", tls_client_ca, TEXT, "FILE", 0, 0, 0,                             \
      "Serve only clients with a certificate that one of these signed, PEM.")            \
    X("threads", threads, NUMBER, "N", 0, 1024, 0,                                       \
      "Threads of the engine; 0: as many as this process may use.")                      \
    X("ctx", ctx, NUMBER, "N", 0, 1 << 24, 0,                                            \
      "Tokens of a sequence; 0: the model's, at most 4096.")                             \
    X("max-live", max_live, NUMBER, "N", 0, 4096, 0,                                     \
      "Requests in one batch; 0: as many as fit.")                                       \
    X("max-waiting", max_waiting, NUMBER, "N", 1, 1000000, 1024,                         \
      "Requests that may wait; one more is refused with 429.")                           \
    X("memory", memory, BYTES, "BYTES", 0, 0, 0,                                         \
      "Most memory of all that is loaded (8G, 512M); 0: no limit.")                      \
    X("kv-memory", kv_memory, BYTES, "BYTES", 0, 0, 0,                                   \
      "Memory of a model's pages of keys and values; 0: of two whole sequences and a "   \
      "batch.")                                                                          \
    X("max-body", max_body, BYTES, "BYTES", 1024, 1 << 30, 16 << 20,                     \
      "Longest body of a request; 16M by default.")                                      \
    X("max-connections", max_connections, NUMBER, "N", 1, 65536, 1024,                   \
      "Connections at a time; 1024 by default.")                                         \
    X("request-seconds", request_seconds, NUMBER, "N", 1, 3600, 60,                      \
      "Time for a request to arrive; 60 by default.")                                    \
    X("deadline-ms", deadline_ms, NUMBER, "N", 0, 86400000, 0,                           \
      "Most time for an answer, of which a request may ask for less; 0: no limit.")      \
    X("drain-seconds", drain_seconds, NUMBER, "N", 1, 3600, 30,                          \
      "Time to finish what was accepted after SIGTERM; 30 by default.")                  \
    X("vllm-metrics", vllm_metrics, SWITCH, NULL, 0, 0, 0,                               \
      "Show metrics under the names of vLLM, too.")                                      \
    X("trace", trace, TEXT, "DIR", 0, 0, 0,                                              \
      "Write each request's timeline here (Chrome trace format).")                       \
    X("log-level", log_level, WORD, "error|warning|info|debug", 0, 0, 0,                 \
      "What is logged to standard error; info by default.")
/* The same, without a flag: other users see those of a process. */
#define SETTINGS_SECRETS(X)                                                              \
    X("api-key", api_key, SECRET, "KEY", 16, 256, 0,                                     \
      "One more key, of a client; at least 16 characters.")
#endif
