//! The bridge to JavaScript.
