//! Requests under way when a barrier fails.

use qcow2_web::{Error, Misuse};

use crate::common::executor::Tasks;
use crate::common::random::Random;
use crate::common::reading::now;
use crate::rig::machine::{Fault, Landing, Request};
use crate::rig::setup::{Cipher, Setup};

const CLUSTER: u64 = 4096;

#[test]
fn an_encrypted_write_changes_nothing_once_a_barrier_has_failed() {
    for cipher in [Cipher::LegacyAes, Cipher::LuksXts, Cipher::LuksCbcEssiv] {
        let setup = Setup { encryption: Some(cipher), ..Setup::plain(CLUSTER.trailing_zeros(), 64 * CLUSTER) };
        let mut random = Random::seeded(1);
        let (machine, _) = setup.make(&mut random);
        let image = setup.open(&machine).unwrap();
        now(image.write_at(0, &[1; 2 * CLUSTER as usize])).unwrap();
        now(image.flush()).unwrap();
        now(image.write_at(CLUSTER, &[2; CLUSTER as usize])).unwrap();

        machine.hold(true);
        let mut tasks = Tasks::default();
        let written = image.clone();
        let writing = tasks.spawn(async move { written.write_at(100, &[3; 50]).await });
        tasks.run();
        let [(rest_of_the_sector, Request::Read { .. })] = machine.waiting()[..] else {
            panic!("{cipher:?}: a write within a sector first reads it: {:?}", machine.waiting());
        };
        machine.fail(Some(Fault::NextChange(Landing::Nothing)));
        let flushed = image.clone();
        let flushing = tasks.spawn(async move { flushed.flush().await });
        tasks.run();
        while !flushing.is_done() {
            for (id, request) in machine.waiting() {
                if !matches!(request, Request::Read { .. }) {
                    machine.complete(id, &mut random);
                }
            }
            tasks.run();
        }
        assert!(machine.has_failed_barrier(), "{cipher:?}: the flush has a barrier");

        machine.forbid_changes();
        machine.complete(rest_of_the_sector, &mut random);
        tasks.run();
        let refused = writing.take().expect("the write ends");
        assert!(matches!(refused, Err(Error::Misuse(Misuse::Poisoned))), "{cipher:?}: {refused:?}");
    }
}
