//! Secrets that are better not on a command line, where every user can read
//! them: read from standard input or from a file.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};

use crate::exit::Exit;
use crate::output::Problem;

/// The most bytes a secret may have.
const LONGEST: u64 = 64 * 1024;

/// Standard input, to its end.
pub(crate) fn read_standard_input() -> Result<String, Problem> {
    read(io::stdin().lock()).map_err(|error| {
        Problem::new(
            Exit::Failed,
            "unreadable",
            "standard input cannot be read",
            error.to_string(),
            "vpnm connect - < FILE",
        )
    })
}

/// A file, to its end.
pub(crate) fn read_file(path: &OsStr) -> Result<String, Problem> {
    File::open(path).and_then(read).map_err(|error| {
        let shown = path.to_string_lossy();
        Problem::new(
            Exit::Failed,
            "unreadable",
            format!("the file {shown} cannot be read"),
            error.to_string(),
            format!("ls -l {shown}"),
        )
    })
}

fn read(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it has more than 64 KiB, so it is no link",
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_secret_has_an_end() {
        assert_eq!(read(&b"vless://x\n"[..]).unwrap(), "vless://x\n");
        assert!(read(std::io::repeat(b'a')).is_err());
        assert!(read(&[0xff, 0xfe][..]).is_err());
    }
}
