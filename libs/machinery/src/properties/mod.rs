//! Laws that hold for every built-in type, and decoders that no input may bring down. Objects are made from the type table.

mod decoders;
mod objects;
mod patches;
mod protobuf;
mod selectors;
