use core::fmt;

/// What is wrong with a LUKS header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LuksFault {
    /// It doesn't begin with the magic number.
    Magic,
    /// The file, or the place that the image gives it, ends within its fields.
    Truncated {
        /// How many bytes there are.
        length: u64,
    },
    /// It takes more of the file than a LUKS header can.
    Area {
        /// Its length in bytes, with the key material.
        length: u64,
    },
    /// The name of a cipher, a mode or a hash doesn't end.
    Text,
    /// The encrypted data would begin within the header.
    Payload {
        /// The header's payload offset, in sectors of 512 bytes.
        sectors: u32,
    },
    /// A key of no bytes, or of more than any cipher takes.
    KeyBytes {
        /// The header's key length, in bytes.
        length: u32,
    },
    /// A derivation of no iterations.
    NoIterations,
    /// A key slot that is neither active nor inactive.
    SlotState {
        /// What it says.
        state: u32,
    },
    /// A key slot with another number of stripes than 4000.
    Stripes {
        /// The number.
        stripes: u32,
    },
    /// The key material of a slot lies over the header's fields, or past the end of the header.
    Material {
        /// Where it begins, in bytes from the beginning of the header.
        offset: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// No key slot is active: nothing opens the image any more.
    NoActiveSlot,
    /// The key materials of two slots lie over each other.
    Overlap {
        /// Where that of the slot begins, in bytes from the beginning of the header.
        offset: u64,
        /// Where the other one begins.
        other: u64,
    },
}

impl fmt::Display for LuksFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("it has no LUKS magic number"),
            Self::Truncated { length } => write!(f, "it ends after {length} bytes"),
            Self::Area { length } => write!(f, "it can't be {length} bytes long"),
            Self::Text => f.write_str("a name in it doesn't end"),
            Self::Payload { sectors } => write!(f, "its payload would begin within it, at sector {sectors}"),
            Self::KeyBytes { length } => write!(f, "no cipher takes a key of {length} bytes"),
            Self::NoIterations => f.write_str("it has 0 iterations"),
            Self::SlotState { state } => write!(f, "a key slot has the state {state:#x}"),
            Self::Stripes { stripes } => write!(f, "a key slot has {stripes} stripes in place of 4000"),
            Self::Material { offset, length } => {
                write!(f, "a key slot's material can't be {length} bytes at {offset:#x} of it")
            }
            Self::NoActiveSlot => f.write_str("no key slot is active, so nothing opens the image any more"),
            Self::Overlap { offset, other } => {
                write!(f, "key slots lie over each other, at {offset:#x} and {other:#x} of it")
            }
        }
    }
}
