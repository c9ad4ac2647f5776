//! Changes of an existing image: its options, its size, its header.

pub(crate) mod amend;
pub(crate) mod change_header;
pub(crate) mod replace_header;
pub(crate) mod resize;
