//! Lists the descriptors in `sets/`, so that a new one is a file and nothing else.

use std::path::Path;
use std::{env, error, fs};

fn main() -> Result<(), Box<dyn error::Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("sets");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name().into_string().map_err(|name| format!("{} is not UTF-8", name.display()))?;
        if name.ends_with(".toml") {
            names.push(name);
        }
    }
    names.sort();
    let one = |name: &String| format!("    ({name:?}, include_str!({:?})),\n", folder.join(name));
    let list: String = names.iter().map(one).collect();
    fs::write(Path::new(&env::var("OUT_DIR")?).join("sets.rs"), format!("&[\n{list}]\n"))?;
    Ok(())
}
