//! Tables of numbers with a column of class labels.

use crate::table::Table;
use std::fmt;

/// Features and labels, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledTable {
    /// Names of the feature columns, in order.
    pub columns: Vec<String>,
    /// Number of rows.
    pub rows: usize,
    /// `rows · columns` numbers, row-major; all finite.
    pub features: Vec<f32>,
    /// One class per row; none negative.
    pub labels: Vec<i32>,
}

/// What is wrong with a table, and where. Rows count from 1, without the header.
#[derive(Clone, Debug, PartialEq)]
pub struct CsvError {
    /// Row, if the fault is in one.
    pub row: Option<usize>,
    /// Column, if the fault is in one.
    pub column: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for CsvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("csv: ")?;
        if let Some(row) = self.row {
            write!(f, "row {row}, ")?;
        }
        if let Some(column) = &self.column {
            write!(f, "column `{column}`: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for CsvError {}

/// Reads comma-separated numbers under a header; column `label` holds classes 0, 1, 2 and so on.
///
/// A byte-order mark and either line ending are accepted.
///
/// # Errors
/// No header, no such column, no rows, a row of another length, an empty cell, something that is not a finite number,
/// or a label that is not a whole number from 0 on: the error names row and column.
pub fn read_labelled_csv(bytes: &[u8], label: &str) -> Result<LabelledTable, CsvError> {
    let table = Table::read(bytes)?;
    let labels = table.classes(label)?;
    let columns: Vec<&str> = table.columns().filter(|&name| name != label).collect();
    let features = table.numbers(&columns)?;
    let columns = columns.iter().map(|name| name.to_string()).collect();
    Ok(LabelledTable { columns, rows: table.rows(), features, labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<LabelledTable, String> {
        read_labelled_csv(text.as_bytes(), "label").map_err(|e| e.to_string())
    }

    #[test]
    fn reads_features_and_labels() {
        let table = check("\u{feff}a,label,b\r\n1,0,2.5\r\n-3,2,4\r\n").unwrap();
        assert_eq!(table.columns, ["a", "b"]);
        assert_eq!(table.features, [1.0, 2.5, -3.0, 4.0]);
        assert_eq!((table.rows, table.labels), (2, vec![0, 2]));
    }

    #[test]
    fn faults_name_row_and_column() {
        let cases = [
            ("a,label\n", "csv: has a header but no rows"),
            ("a,b\n1,2\n", "csv: has no column `label`; its columns are a, b"),
            ("a,label\n1,0\n1\n", "csv: row 2, has 1 cells, the header has 2"),
            ("a,label\n,0\n", "csv: row 1, column `a`: is empty; fill it in or drop the row"),
            ("a,label\ninf,0\n", "csv: row 1, column `a`: `inf` is no finite number"),
            ("a,label\nnan,0\n", "csv: row 1, column `a`: `nan` is no finite number"),
            (
                "a,label\n1,-1\n",
                "csv: row 1, column `label`: `-1` is no class label: use 0, 1, 2 and so on",
            ),
            (
                "a,label\n1,1.5\n",
                "csv: row 1, column `label`: `1.5` is no class label: use 0, 1, 2 and so on",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(check(text).unwrap_err(), expected, "for {text:?}");
        }
        assert!(check("").is_err());
    }
}
