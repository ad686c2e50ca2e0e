//! Starts the control process.

fn main() {}
