//! What an existing image can change about itself: its options, its size, its header.

pub(crate) mod amend;
pub(crate) mod change_header;
pub(crate) mod replace_header;
pub(crate) mod resize;
