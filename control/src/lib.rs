//! The control side of Portcullis: owns configuration, secrets and validation, and streams compiled tables to workers.
//!
//! Two rings. The **core** (resource, ir, translate, policy, upstream, function, compile) is pure: no tokio, no ractor,
//! no I/O. The **shell** (everything else) holds the actors and sockets. The core never imports the shell.

// -- core --
pub mod compile;
pub mod ir;
pub mod policy;
pub mod resource;
pub mod translate;
pub mod upstream;

// -- shell --
pub mod cli;
pub mod store;
