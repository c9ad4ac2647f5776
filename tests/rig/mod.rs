//! What the tests of writing stand on: a machine whose requests can be recorded, held, failed and torn; a check of an
//! image's structure that shares no code with the engine; and what a disk may hold.

pub mod checker;
pub mod history;
pub mod life;
pub mod machine;
pub mod operation;
pub mod registers;
pub mod replay;
pub mod setup;
