//! The client of a Confluent schema registry.
//!
//! ```text
//! decoder -> Schemas::get -> lookups <-> thread: fetch -> client -> GET /schemas/ids/7
//!                               `-> Known, Unknown, Pending
//! ```
//!
//! A thread of its own fetches schemas, each once: an id has the same schema for ever. While the registry is away, or
//! refuses the login, ids stay pending and their messages wait; [`Health`](crate::runtime::health::Health) has the reason. An id
//! that the registry does not know is asked for again by messages that arrive half a minute later.

mod client;
mod error;
mod fetch;
mod handle;
mod lookups;
mod options;

pub use error::RegistryError;
pub use handle::Registry;
pub use options::{Login, RegistryOptions};
