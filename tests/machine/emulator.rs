//! QEMU's emulator, and its monitor.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::common::lab::Lab;

pub struct Emulator {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Emulator {
    /// Boots from the image of that name.
    pub fn boot(lab: &Lab, image: &str, options: &[&str]) -> Self {
        let drive = format!("file={image},format=qcow2,if=ide,cache=unsafe");
        let machine = ["-machine", "pc,accel=tcg", "-m", "16", "-nodefaults", "-display", "none", "-drive", &drive];
        let mut process = Command::new(program())
            .args(machine)
            .args(["-qmp", "stdio"])
            .args(options)
            .current_dir(lab.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("qemu-system-x86_64 (`npm run setup -- machine` brings it): {error}"));
        let input = process.stdin.take().expect("it is piped");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut emulator = Self { process, input, output };
        emulator.ask(&json!({ "execute": "qmp_capabilities" }));
        emulator
    }

    /// Says something to the monitor for people, and gives its answer, which must not be a complaint.
    #[track_caller]
    pub fn say(&mut self, command: &str) -> String {
        let arguments = json!({ "command-line": command });
        let said = self.ask(&json!({ "execute": "human-monitor-command", "arguments": arguments }));
        let said = said.as_str().unwrap_or_default();
        assert!(!said.contains("rror"), "{command}: {said}");
        said.into()
    }

    /// What the guest has counted to, at 0x500.
    pub fn counter(&mut self) -> u64 {
        let said = self.say("xp /1wx 0x500");
        let number = said.rsplit_once("0x").and_then(|(_, number)| u64::from_str_radix(number.trim(), 16).ok());
        number.unwrap_or_else(|| panic!("{said}"))
    }

    /// Asks over and over, until the guest has come so far.
    pub fn wait_for_counter(&mut self, is_reached: impl Fn(u64) -> bool) {
        while !is_reached(self.counter()) {}
    }

    pub fn quit(mut self) {
        self.ask(&json!({ "execute": "quit" }));
        assert!(self.process.wait().expect("it ends").success());
    }

    /// Gives a command, and waits for the answer, past whatever it says of itself.
    fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.input, "{command}").expect("it listens");
        loop {
            let mut line = String::new();
            self.output.read_line(&mut line).expect("a pipe");
            let mut said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{command}: it says {line:?}"));
            assert!(said.get("error").is_none(), "{command}: {said}");
            if let Some(answer) = said.get_mut("return") {
                return answer.take();
            }
        }
    }
}

/// The one of the project, where setup had to bring it, else the system's.
fn program() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/machine/qemu-system-x86_64");
    if own.exists() { own } else { "qemu-system-x86_64".into() }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Where a test has failed; otherwise it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
