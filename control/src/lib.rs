//! The control side of Portcullis: owns configuration, secrets and validation, and streams compiled tables to workers.
//!
//! Two rings. The **core** (resource, ir, translate, policy, upstream, function, compile, ordered) is pure: no tokio, no
//! ractor, no I/O. The **shell** (everything else) holds the actors and sockets. The core never imports the shell.

// -- core --
pub mod compile;
pub mod ir;
pub mod ordered;
pub mod policy;
pub mod resource;
pub mod translate;
pub mod upstream;

// -- shell --
pub mod admin;
pub mod cli;
pub mod config;
pub mod discovery;
pub mod fuzzing;
pub mod keyring;
pub mod publish;
pub mod root;
pub mod settings;
pub mod source;
pub mod status;
pub mod store;
pub mod topics;
