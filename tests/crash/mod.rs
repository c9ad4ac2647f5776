//! Crashes and faults: whatever a medium loses, the image opens, what was flushed is there, and clusters are leaked at
//! worst.

mod faults;
mod states;
