//! Argon2, the derivation of LUKS version 2.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize, Zeroizing};

/// Derives a key. `costs` are the passes, the memory in KiB, and the lanes.
///
/// Fails with a sentence for people, without capital and full stop.
pub(crate) fn derive(
    kind: &str,
    password: &[u8],
    salt: &[u8],
    costs: (u32, u32, u32),
    length: usize,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let (time, memory, lanes) = costs;
    let algorithm = match kind {
        "argon2i" => Algorithm::Argon2i,
        "argon2id" => Algorithm::Argon2id,
        _ => return Err(format!("the key derivation {kind} is not supported")),
    };
    let params = Params::new(memory, time, lanes, Some(length)).map_err(|error| error.to_string())?;
    let mut blocks: Vec<Block> = Vec::new();
    blocks
        .try_reserve_exact(params.block_count())
        .map_err(|_| format!("the key derivation needs {} MiB of memory, which are not available", memory >> 10))?;
    blocks.resize(params.block_count(), Block::new());
    let mut key = Zeroizing::new(vec![0; length]);
    let derived = Argon2::new(algorithm, Version::V0x13, params).hash_password_into_with_memory(
        password,
        salt,
        &mut key,
        &mut blocks,
    );
    for block in &mut blocks {
        block.zeroize();
    }
    derived.map_err(|error| error.to_string())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        let digit = |value: u8| char::from_digit(value.into(), 16).expect("four bits");
        bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
    }

    /// The test vectors of the reference implementation, version 19.
    #[test]
    fn known_keys() {
        for (kind, costs, expected) in [
            ("argon2i", (2, 65536, 1), "c1628832147d9720c5bd1cfd61367078729f6dfb6f8fea9ff98158e0d7816ed0"),
            ("argon2id", (2, 65536, 1), "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"),
            ("argon2id", (2, 256, 2), "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037"),
        ] {
            let key = derive(kind, b"password", b"somesalt", costs, 32).expect("valid parameters");
            assert_eq!(hex(&key), expected, "{kind} {costs:?}");
        }
    }

    #[test]
    fn parameters_that_are_not_valid_are_refused() {
        for (kind, costs, length) in [
            ("argon2d", (1, 64, 1), 32),
            ("argon2id", (0, 64, 1), 32),
            ("argon2id", (1, 1, 4), 32),
            ("argon2id", (1, 64, 1), 0),
        ] {
            assert!(derive(kind, b"password", b"somesalt", costs, length).is_err(), "{kind} {costs:?} {length}");
        }
        assert!(derive("argon2id", b"password", b"short", (1, 64, 1), 32).is_err());
    }
}
