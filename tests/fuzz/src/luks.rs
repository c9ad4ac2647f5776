//! LUKS headers, and the key slots behind them.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::LazyLock;

use futures_util::future::{LocalBoxFuture, ready as at_once};
use qcow2_web::storage::MemoryStorage;
use qcow2_web::{
    CreateOptions, Derivation, EncryptOptions, EncryptionInfo, Error, Image, KeyDerivation, KeyOptions, OpenOptions,
    Problem, inspect,
};

use crate::check::check_error;
use crate::limits::{ready, within_memory};

/// The image twice, the material of a slot a few times over, and the tables.
const MEMORY: usize = 8 << 20;
const MAX_ITERATIONS: u32 = 5000;
/// The length of a header's fields.
const FIELDS: usize = 592;
const PASSPHRASE: &str = "open sesame";
const DATA: [u8; 512] = [0x5a; 512];

/// An encrypted image, and where its LUKS header is.
static SOUND: LazyLock<(Vec<u8>, usize)> = LazyLock::new(|| {
    let file = MemoryStorage::default();
    let encryption = EncryptOptions::luks(PASSPHRASE, keys(&Rc::default()));
    let options = CreateOptions::new(64 << 10).cluster_size(4096).encryption(encryption);
    ready(options.write_to(&file, None)).expect("an image that can be");
    let image = ready(Image::open_writable(&file, unlocked(PASSPHRASE, &Rc::default()))).expect("a new image opens");
    ready(image.write_at(0, &DATA)).expect("memory takes it");
    ready(image.close()).expect("memory takes it");
    drop(image);
    let bytes = file.into_bytes();
    let place = bytes.windows(6).position(|window| window == b"LUKS\xba\xbe").expect("it has a header");
    (bytes, place)
});

/// The input stands over the fields of the LUKS header of a sound image.
pub fn luks(input: &[u8]) {
    let (sound, place) = &*SOUND;
    let mut bytes = sound.clone();
    let length = input.len().min(FIELDS);
    bytes[*place..][..length].copy_from_slice(&input[..length]);
    let file = MemoryStorage::from(bytes);
    within_memory(MEMORY, || {
        let inspection = ready(inspect(&file)).expect("memory is read");
        let locked = ready(Image::open(&file, OpenOptions::new().without_passphrase()));
        assert_eq!(locked.is_ok(), inspection.problems.is_empty(), "{:?}", inspection.problems);
        assert_eq!(locked.is_ok(), matches!(inspection.encryption, Some(EncryptionInfo::Luks(_))));

        let work = Rc::new(Cell::new(0));
        let opened = ready(Image::open_writable(&file, unlocked(PASSPHRASE, &work)));
        // A key and its digest for each slot.
        assert!(work.get() <= 16, "{} derivations", work.get());
        match opened {
            Ok(image) => change(&file, image),
            Err(error) => {
                check_error(&error);
                assert!(!matches!(error, Error::Misuse(_)) || error.code() == "WRONG_PASSPHRASE", "{error}");
                let codes: Vec<_> = inspection.problems.iter().map(Problem::code).collect();
                assert!(codes.is_empty() || codes == [error.code()], "{codes:?}, but opening it: {error}");
            }
        }
    });
}

/// Gives an image that opens another passphrase, by which it must open then.
fn change(file: &MemoryStorage, image: Image<&MemoryStorage>) {
    let mut before = [0; 512];
    ready(image.read_at(0, &mut before)).expect("it was unlocked");
    match ready(image.change_passphrase(PASSPHRASE, "open barley", &keys(&Rc::default()))) {
        Ok(_) => {}
        Err(error) => return assert_eq!(error.code(), "KEY_SLOTS_FULL", "{error}"),
    }
    drop(image);
    let again = ready(Image::open(file, unlocked("open barley", &Rc::default()))).expect("the new passphrase opens it");
    let mut after = [0; 512];
    ready(again.read_at(0, &mut after)).expect("it was unlocked");
    assert!(before == after, "the key is the same");
}

fn unlocked(passphrase: &str, work: &Rc<Cell<u32>>) -> OpenOptions<&'static MemoryStorage> {
    let derivation = Rc::new(Cheap(work.clone()));
    OpenOptions::new().passphrase(passphrase).max_iterations(MAX_ITERATIONS).key_derivation(derivation)
}

fn keys(work: &Rc<Cell<u32>>) -> KeyOptions {
    let number = Cell::new(1_u8);
    let fill = move |bytes: &mut [u8]| {
        bytes.fill_with(|| number.replace(number.get().wrapping_mul(5).wrapping_add(3)));
        Ok(())
    };
    KeyOptions::new(fill).iterations(1000).key_derivation(Rc::new(Cheap(work.clone())))
}

/// Two iterations do for all, so that many headers are tried; what is counted is how often.
struct Cheap(Rc<Cell<u32>>);

impl KeyDerivation for Cheap {
    fn derive<'a>(&'a self, derivation: Derivation<'a>, key: &'a mut [u8]) -> LocalBoxFuture<'a, ControlFlow<()>> {
        assert!((1..=MAX_ITERATIONS).contains(&derivation.iterations), "{derivation:?}");
        self.0.set(self.0.get() + 1);
        Derivation { iterations: 2, ..derivation }.run(key);
        Box::pin(at_once(ControlFlow::Continue(())))
    }
}
