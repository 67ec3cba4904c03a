//! Rows of named numbers, written to a file as they come.

use crate::atomic::FileError;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file of comma-separated numbers under a header, one row at a time.
#[derive(Debug)]
pub struct CsvLog {
    file: File,
    path: PathBuf,
    columns: usize,
}

/// Why a row could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CsvLogError {
    /// The file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is a log of other columns.
    #[error("`{}` has the header `{there}`, not `{here}`; give the log another file", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Its first line.
        there: String,
        /// The header of the log.
        here: String,
    },
    /// Another number of values than columns.
    #[error("a row of {values} values does not fit the {columns} columns of `{}`", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Number of values.
        values: usize,
        /// Number of columns.
        columns: usize,
    },
}

impl CsvLog {
    /// A new file with this header; what it held before is gone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path, columns: &[&str]) -> Result<CsvLog, CsvLogError> {
        let fail = |source| FileError::write(path, source);
        let mut file = File::create(path).map_err(fail)?;
        file.write_all(line(columns).as_bytes()).map_err(fail)?;
        Ok(CsvLog { file, path: path.to_path_buf(), columns: columns.len() })
    }

    /// Goes on with a file of this header, or begins one. A last row that was cut by a crash is removed.
    ///
    /// # Errors
    /// When the file cannot be read or written, or has another header.
    pub fn append(path: &Path, columns: &[&str]) -> Result<CsvLog, CsvLogError> {
        let fail = |source| FileError::write(path, source);
        let mut options = File::options();
        let mut file = match options.read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return CsvLog::create(path, columns);
            }
            Err(error) => return Err(fail(error).into()),
        };
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).map_err(|source| FileError::read(path, source))?;
        let header = line(columns);
        if header.as_bytes().starts_with(&bytes) && bytes.len() < header.len() {
            // Empty, or cut within the header.
            return CsvLog::create(path, columns);
        }
        if !bytes.starts_with(header.as_bytes()) {
            let there = bytes.split(|&b| b == b'\n').next().unwrap_or(&[]);
            let there = String::from_utf8_lossy(&there[..there.len().min(200)]).into_owned();
            let (path, here) = (path.to_path_buf(), header.trim_end().to_string());
            return Err(CsvLogError::Header { path, there, here });
        }
        let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1) as u64;
        file.set_len(whole).map_err(fail)?;
        file.seek(SeekFrom::Start(whole)).map_err(fail)?;
        Ok(CsvLog { file, path: path.to_path_buf(), columns: columns.len() })
    }

    /// Writes a row; it is in the file when this returns. Numbers are written with as many digits as tell them from
    /// their neighbours.
    ///
    /// # Errors
    /// When there are more or fewer values than columns, or the file cannot be written.
    pub fn row(&mut self, values: &[f64]) -> Result<(), CsvLogError> {
        if values.len() != self.columns {
            let (path, columns) = (self.path.clone(), self.columns);
            return Err(CsvLogError::Row { path, values: values.len(), columns });
        }
        let cells: Vec<String> = values.iter().map(|&v| cell(v)).collect();
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        let write = self.file.write_all(line(&cells).as_bytes()).and_then(|()| self.file.flush());
        write.map_err(|source| FileError::write(&self.path, source).into())
    }
}

/// A number that reads back as itself; whole ones without a point.
fn cell(value: f64) -> String {
    let whole = value.fract() == 0.0 && value.abs() < 1e15;
    if whole { format!("{value:.0}") } else { format!("{value:?}") }
}

/// One line, with quotation marks where a cell needs them.
fn line(cells: &[&str]) -> String {
    let mut writer = ::csv::WriterBuilder::new().from_writer(vec![]);
    // Writing to memory cannot fail.
    let _ = writer.write_record(cells);
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn rows_are_in_the_file_at_once_and_a_log_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        let columns = ["epoch", "loss, mean"];
        let mut log = CsvLog::append(&path, &columns).unwrap();
        log.row(&[1.0, 0.1]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "epoch,\"loss, mean\"\n1,0.1\n");
        log.row(&[2.0, f64::NAN]).unwrap();
        drop(log);
        // A crash cut the third row.
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"3,0.0").unwrap();
        let mut log = CsvLog::append(&path, &columns).unwrap();
        log.row(&[3.0, 1e-300]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "epoch,\"loss, mean\"\n1,0.1\n2,NaN\n3,1e-300\n");
    }

    #[test]
    fn other_columns_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        let mut log = CsvLog::create(&path, &["epoch", "loss"]).unwrap();
        let message = log.row(&[1.0]).unwrap_err().to_string();
        assert!(message.starts_with("a row of 1 values does not fit the 2 columns"), "{message}");
        let message = CsvLog::append(&path, &["epoch"]).unwrap_err().to_string();
        assert!(message.contains("has the header `epoch,loss`, not `epoch`"), "{message}");
        assert!(CsvLog::create(&folder.path().join("no/log.csv"), &["a"]).is_err());
    }
}
