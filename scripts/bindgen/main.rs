//! Makes the JavaScript of a wasm module, with the arguments that the build gives wasm-bindgen-cli.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use lexopt::prelude::*;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut bindgen = Bindgen::new();
    let mut folder = None;
    let mut module = None;
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("version") => {
                println!("wasm-bindgen {}", wasm_bindgen_shared::version());
                return Ok(());
            }
            Long("target") => {
                let target = arguments.value()?;
                ensure!(target == "web", "the target must be web");
                bindgen.web(true)?;
            }
            Long("omit-default-module-path") => {
                bindgen.omit_default_module_path(true);
            }
            Long("out-dir") => folder = Some(PathBuf::from(arguments.value()?)),
            Long("out-name") => {
                bindgen.out_name(&arguments.value()?.string()?);
            }
            Value(path) => module = Some(PathBuf::from(path)),
            other => return Err(other.unexpected().into()),
        }
    }
    let module = module.context("no module was given")?;
    let folder = folder.context("--out-dir is missing")?;
    bindgen.input_path(module).typescript(true).generate(folder)
}
