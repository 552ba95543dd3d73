//! etcd v3 over SQL.
