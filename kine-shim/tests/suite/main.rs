//! The tests that need more than one function: a model, a contract for any etcd v3 endpoint, a real etcd as the oracle,
//! watch completeness, crashes, and files of every kind.

mod connecting;
mod contract;
mod crash;
mod databases;
mod etcdctl;
mod files;
mod housekeeping;
mod kine;
mod linear;
mod memory;
mod model;
mod oracle;
mod outages;
mod peers;
mod random;
mod requests;
mod returning;
mod servers;
mod slow;
mod space;
mod support;
mod tls;
mod tools;
mod watching;
