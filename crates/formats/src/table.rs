//! Tables with a header: columns of numbers and of texts.

use crate::csv::CsvError;

/// A table as it was written; its cells become numbers when they are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    header: Vec<String>,
    /// Row-major, without the blanks around them.
    cells: Vec<String>,
}

/// What is said of a cell without text.
const EMPTY: &str = "is empty; fill it in or drop the row";

impl Table {
    /// Reads comma-separated cells under a header. A byte-order mark and either line ending are accepted; cells may
    /// stand in quotation marks.
    ///
    /// # Errors
    /// No header, a column without a name or two of one name, no rows, text that is no UTF-8, or a row that is longer
    /// or shorter than the header.
    pub fn read(bytes: &[u8]) -> Result<Table, CsvError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader =
            ::csv::ReaderBuilder::new().flexible(true).trim(::csv::Trim::All).from_reader(bytes);
        let plain = |message: String| CsvError { row: None, column: None, message };
        let header = reader.headers().map_err(|e| plain(format!("has no readable header: {e}")))?;
        let header: Vec<String> = header.iter().map(str::to_string).collect();
        if header.is_empty() {
            return Err(plain("has no header".into()));
        }
        for (i, name) in header.iter().enumerate() {
            if name.is_empty() {
                return Err(plain(format!("has no name for column {}", i + 1)));
            }
            if header[..i].contains(name) {
                return Err(plain(format!("has two columns `{name}`")));
            }
        }
        let mut cells = vec![];
        for (i, record) in reader.records().enumerate() {
            let at = |message| CsvError { row: Some(i + 1), column: None, message };
            let record = record.map_err(|e| at(e.to_string()))?;
            if record.len() != header.len() {
                let (cells, names) = (record.len(), header.len());
                return Err(at(format!("has {cells} cells, the header has {names}")));
            }
            cells.extend(record.iter().map(str::to_string));
        }
        if cells.is_empty() {
            return Err(plain("has a header but no rows".into()));
        }
        Ok(Table { header, cells })
    }

    /// Names of the columns, in order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.header.iter().map(String::as_str)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.cells.len() / self.header.len()
    }

    /// The numbers of these columns, side by side: row-major, `rows · columns` of them, all finite.
    ///
    /// # Errors
    /// When there is no such column, a cell is empty, or is no finite number: the error names row and column.
    pub fn numbers(&self, columns: &[&str]) -> Result<Vec<f32>, CsvError> {
        let places =
            columns.iter().map(|c| self.place(c)).collect::<Result<Vec<usize>, CsvError>>()?;
        let mut numbers = Vec::with_capacity(self.rows() * columns.len());
        for (row, cells) in self.cells.chunks(self.header.len()).enumerate() {
            for &at in &places {
                let fail = |message| Err(self.fault(row, at, message));
                match cells[at].parse::<f32>() {
                    Ok(number) if number.is_finite() => numbers.push(number),
                    _ if cells[at].is_empty() => {
                        return fail(EMPTY.into());
                    }
                    _ => return fail(format!("`{}` is no finite number", cells[at])),
                }
            }
        }
        Ok(numbers)
    }

    /// A column of class labels 0, 1, 2 and so on; `1.0` is one too.
    ///
    /// # Errors
    /// When there is no such column, a cell is empty, or is no whole number from 0 on: the error names row and column.
    pub fn classes(&self, column: &str) -> Result<Vec<i32>, CsvError> {
        let at = self.place(column)?;
        let class = |(row, cells): (usize, &[String])| {
            let cell = cells[at].as_str();
            let number = cell.parse::<f64>().ok().filter(|v| v.fract() == 0.0);
            match number.filter(|v| (0.0..=f64::from(i32::MAX)).contains(v)) {
                Some(class) => Ok(class as i32),
                None if cell.is_empty() => Err(self.fault(row, at, EMPTY.into())),
                None => {
                    let message = format!("`{cell}` is no class label: use 0, 1, 2 and so on");
                    Err(self.fault(row, at, message))
                }
            }
        };
        self.cells.chunks(self.header.len()).enumerate().map(class).collect()
    }

    /// The texts of a column, one a row.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn texts(&self, column: &str) -> Result<Vec<&str>, CsvError> {
        let at = self.place(column)?;
        Ok(self.cells.iter().skip(at).step_by(self.header.len()).map(String::as_str).collect())
    }

    /// A column of categories as numbers from 0, and the categories in the order of those numbers: by value if all
    /// are numbers, else by letters.
    ///
    /// # Errors
    /// When there is no such column, or a cell is empty: the error names row and column.
    pub fn categories(&self, column: &str) -> Result<(Vec<i32>, Vec<String>), CsvError> {
        let texts = self.texts(column)?;
        if let Some(row) = texts.iter().position(|t| t.is_empty()) {
            let message = EMPTY.into();
            return Err(self.fault(row, self.place(column)?, message));
        }
        let mut names: Vec<&str> = texts.clone();
        names.sort_unstable();
        names.dedup();
        let number = |name: &str| name.parse::<f64>().ok().filter(|v| !v.is_nan());
        if names.iter().all(|name| number(name).is_some()) {
            names.sort_by(|a, b| number(a).unwrap_or(0.0).total_cmp(&number(b).unwrap_or(0.0)));
        }
        let place = |text: &&str| names.iter().position(|name| name == text).unwrap_or(0) as i32;
        Ok((texts.iter().map(place).collect(), names.iter().map(|n| n.to_string()).collect()))
    }

    fn place(&self, column: &str) -> Result<usize, CsvError> {
        self.header.iter().position(|name| name == column).ok_or_else(|| {
            let known = self.header.join(", ");
            let message = format!("has no column `{column}`; its columns are {known}");
            CsvError { row: None, column: None, message }
        })
    }

    fn fault(&self, row: usize, at: usize, message: String) -> CsvError {
        CsvError { row: Some(row + 1), column: Some(self.header[at].clone()), message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAGES: &str = "\u{feff}age,union, wage \r\n35,Not_member,5.10\r\n57,Union,4.95\r\n\
        19,\"Not_member\",6.67\r\n";

    #[test]
    fn numbers_texts_and_categories() {
        let table = Table::read(WAGES.as_bytes()).unwrap();
        assert_eq!(table.columns().collect::<Vec<_>>(), ["age", "union", "wage"]);
        assert_eq!(table.rows(), 3);
        assert_eq!(table.numbers(&["wage", "age"]).unwrap(), [5.1, 35.0, 4.95, 57.0, 6.67, 19.0]);
        assert_eq!(table.texts("union").unwrap(), ["Not_member", "Union", "Not_member"]);
        let (numbers, names) = table.categories("union").unwrap();
        assert_eq!((numbers, names.join(" ")), (vec![0, 1, 0], "Not_member Union".to_string()));
        assert_eq!(table.classes("age").unwrap(), [35, 57, 19]);
        assert_eq!(Table::read(b"c\n1.0\n0\n").unwrap().classes("c").unwrap(), [1, 0]);
        assert_eq!(table.categories("age").unwrap().1, ["19", "35", "57"]);
        let table = Table::read(b"size\n10\n9\n9\n").unwrap();
        assert_eq!(
            table.categories("size").unwrap(),
            (vec![1, 0, 0], vec!["9".into(), "10".into()])
        );
    }

    #[test]
    fn faults_name_row_and_column() {
        let read = |text: &str| Table::read(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(read(""), "csv: has no header");
        assert_eq!(read("a,b\n"), "csv: has a header but no rows");
        assert_eq!(read("a,a\n1,2\n"), "csv: has two columns `a`");
        assert_eq!(read("a,\n1,2\n"), "csv: has no name for column 2");
        assert_eq!(read("a,b\n1,2\n1\n"), "csv: row 2, has 1 cells, the header has 2");
        assert!(Table::read(b"a,b\n1,\xff\n").unwrap_err().to_string().contains("csv: row 1, "));
        let numbers = |text: &str, column: &str| {
            Table::read(text.as_bytes()).unwrap().numbers(&[column]).unwrap_err().to_string()
        };
        assert_eq!(
            numbers(WAGES, "pay"),
            "csv: has no column `pay`; its columns are age, union, wage"
        );
        assert_eq!(
            numbers(WAGES, "union"),
            "csv: row 1, column `union`: `Not_member` is no finite number"
        );
        assert_eq!(
            numbers("a,b\n1,2\nnan,2\n", "a"),
            "csv: row 2, column `a`: `nan` is no finite number"
        );
        let empty = "csv: row 2, column `b`: is empty; fill it in or drop the row";
        assert_eq!(numbers("a,b\n1,2\n1,\n", "b"), empty);
        let table = Table::read(b"a,b\n1,2\n1,\n").unwrap();
        assert_eq!(table.categories("b").unwrap_err().to_string(), empty);
    }
}
