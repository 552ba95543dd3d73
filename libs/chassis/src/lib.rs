//! What every service's main shares: flags, logs, metrics, health, gRPC, TLS, drain.
