//! A proxy in front of an API server that does to its clients what networks, load balancers and busy servers do: it refuses,
//! delays, breaks off, loses answers to writes that were done, and lets watches fall silent.

mod asked;
mod body;
mod dice;
mod held;
mod proxy;
mod weather;

pub use asked::Asked;
pub use dice::Dice;
pub use proxy::Proxy;
pub use weather::{Fault, Weather};
