//! Weights as images: what each unit of a layer looks for.

use super::PlotError;
use crate::error::Error;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::path::Path;

/// Images of one size, side by side: blue where a number is negative, red where it is positive, white at 0; in grey if no
/// number of any is negative, as pixels are. Each image has its strongest colour where its largest number is.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageGrid {
    height: usize,
    width: usize,
    /// Row-major, one after the other.
    images: Vec<f32>,
}

/// Most pixels of a picture.
const MOST: usize = 1 << 26;

/// Pixels between two images and around them.
const GAP: usize = 4;

/// Colour of the gaps.
const BEHIND: [u8; 3] = [70, 70, 70];

impl ImageGrid {
    /// The weights `[height · width, units]` of a layer, row-major: one image for each unit.
    ///
    /// The kernels `[height, width, 1, units]` of a convolution are the same numbers in the same order.
    ///
    /// # Errors
    /// When there are no images, or another number of weights than a whole number of them.
    pub fn of_units(weights: &[f32], height: usize, width: usize) -> Result<ImageGrid, PlotError> {
        let grid = ImageGrid::of_images(weights, height, width)?;
        let (size, units) = (height * width, grid.count());
        let image = |unit: usize| (0..size).map(move |i| weights[i * units + unit]);
        Ok(ImageGrid { images: (0..units).flat_map(image).collect(), ..grid })
    }

    /// Images one after the other, `[count, height, width]`, row-major.
    ///
    /// # Errors
    /// When there are no images, or another number of pixels than a whole number of them.
    pub fn of_images(pixels: &[f32], height: usize, width: usize) -> Result<ImageGrid, PlotError> {
        let size = height.checked_mul(width).filter(|&size| size > 0);
        if size.is_none_or(|size| pixels.is_empty() || !pixels.len().is_multiple_of(size)) {
            let count = pixels.len();
            let message = format!("{count} numbers are no images of {height} by {width} pixels");
            return Err(PlotError::Images(message));
        }
        Ok(ImageGrid { height, width, images: pixels.to_vec() })
    }

    /// Number of images.
    pub fn count(&self) -> usize {
        self.images.len() / (self.height * self.width)
    }

    /// The picture as PNG; each number is a square of `zoom` pixels.
    ///
    /// # Errors
    /// When the picture would have more than 67 million pixels.
    pub fn png(&self, zoom: usize) -> Result<Vec<u8>, PlotError> {
        let (width, height, pixels) = self.pixels(zoom)?;
        let mut bytes = vec![];
        let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let writer = encoder.write_header();
        let written = writer.and_then(|mut writer| {
            writer.write_image_data(&pixels)?;
            writer.finish()
        });
        written.map_err(|error| PlotError::Draw(error.to_string()))?;
        Ok(bytes)
    }

    /// The picture as SVG; each number is a square of `zoom` units.
    ///
    /// # Errors
    /// As [`ImageGrid::png`].
    pub fn svg(&self, zoom: usize) -> Result<String, PlotError> {
        let png = self.png(zoom)?;
        let (width, height, _) = self.layout(zoom)?;
        Ok(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\">\n\
             <image width=\"{width}\" height=\"{height}\" style=\"image-rendering: pixelated\" \
             href=\"data:image/png;base64,{}\"/>\n</svg>\n",
            BASE64.encode(png)
        ))
    }

    /// Writes the picture into a file, as SVG if its name ends so and as PNG otherwise.
    ///
    /// # Errors
    /// As [`ImageGrid::png`], and when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>, zoom: usize) -> Result<(), Error> {
        let path = path.as_ref();
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("svg")) {
            return super::save(path, self.svg(zoom)?.as_bytes());
        }
        super::save(path, &self.png(zoom)?)
    }

    /// Width and height of the picture, and images in a row.
    fn layout(&self, zoom: usize) -> Result<(usize, usize, usize), PlotError> {
        let across = self.count().isqrt();
        let across = if across * across < self.count() { across + 1 } else { across };
        let down = self.count().div_ceil(across);
        let along = |images: usize, size: usize| {
            let image = size.checked_mul(zoom.max(1))?.checked_add(GAP)?;
            images.checked_mul(image)?.checked_add(GAP)
        };
        let sizes = along(across, self.width).zip(along(down, self.height));
        match sizes.filter(|&(w, h)| w.checked_mul(h).is_some_and(|pixels| pixels <= MOST)) {
            Some((width, height)) => Ok((width, height, across)),
            None => {
                let (count, w, h) = (self.count(), self.width, self.height);
                Err(PlotError::Images(format!(
                    "{count} images of {h} by {w} pixels, {zoom} times as large, are more than a picture holds; \
                     make `zoom` smaller, or draw fewer"
                )))
            }
        }
    }

    /// Width, height and colours of the picture.
    fn pixels(&self, zoom: usize) -> Result<(usize, usize, Vec<u8>), PlotError> {
        let (width, height, across) = self.layout(zoom)?;
        let zoom = zoom.max(1);
        let mut pixels = BEHIND.repeat(width * height);
        let positive = if self.images.iter().any(|&v| v < 0.0) { POSITIVE } else { INK };
        for (i, image) in self.images.chunks(self.height * self.width).enumerate() {
            let top = GAP + i / across * (self.height * zoom + GAP);
            let left = GAP + i % across * (self.width * zoom + GAP);
            let finite = image.iter().filter(|v| v.is_finite());
            let largest = finite.fold(0.0f32, |most, v| most.max(v.abs()));
            for (place, &value) in image.iter().enumerate() {
                let colour = colour(value, largest, positive);
                let (y, x) = (place / self.width, place % self.width);
                for row in 0..zoom {
                    let at = ((top + y * zoom + row) * width + left + x * zoom) * 3;
                    pixels[at..at + 3 * zoom].copy_from_slice(&colour.repeat(zoom));
                }
            }
        }
        Ok((width, height, pixels))
    }
}

const NEGATIVE: [f32; 3] = [33.0, 102.0, 172.0];
const POSITIVE: [f32; 3] = [178.0, 24.0, 43.0];
const INK: [f32; 3] = [20.0, 20.0, 20.0];

/// Blue, white, `positive` for `-largest`, 0, `largest`; what is no number is black.
fn colour(value: f32, largest: f32, positive: [f32; 3]) -> [u8; 3] {
    if value.is_nan() {
        return [0; 3];
    }
    let share = if largest > 0.0 { (value / largest).clamp(-1.0, 1.0) } else { 0.0 };
    let end = if share < 0.0 { NEGATIVE } else { positive };
    end.map(|c| (255.0 + (c - 255.0) * share.abs()).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Width, height and colours of a PNG.
    fn read(bytes: &[u8]) -> (usize, usize, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a png");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut pixels).expect("a picture");
        (info.width as usize, info.height as usize, pixels)
    }

    #[test]
    fn each_unit_is_an_image() {
        // Two inputs, three units: the columns are (1, -1), (0, 2), (0, 0).
        let grid = ImageGrid::of_units(&[1.0, 0.0, 0.0, -1.0, 2.0, 0.0], 1, 2).expect("images");
        assert_eq!(grid.images, [1.0, -1.0, 0.0, 2.0, 0.0, 0.0]);
        let (width, height, pixels) = read(&grid.png(3).expect("a picture"));
        assert_eq!((width, height), (4 + 2 * (6 + 4), 4 + 2 * (3 + 4)));
        let at = |y: usize, x: usize| &pixels[(y * width + x) * 3..][..3];
        assert_eq!(at(0, 0), BEHIND);
        assert_eq!((at(4, 4), at(6, 6)), (&[178, 24, 43][..], &[178, 24, 43][..]));
        assert_eq!(at(4, 7), [33, 102, 172]);
        assert_eq!((at(4, 14), at(4, 17)), (&[255; 3][..], &[178, 24, 43][..]));
        assert_eq!(at(11, 4), [255; 3]);
        assert_eq!(at(11, 14), BEHIND);
    }

    #[test]
    fn no_numbers_and_infinities_are_drawn() {
        let colour = |value, largest| colour(value, largest, POSITIVE);
        assert_eq!(colour(f32::NAN, 1.0), [0; 3]);
        assert_eq!(colour(f32::INFINITY, 1.0), colour(1.0, 1.0));
        assert_eq!(colour(0.0, 0.0), [255; 3]);
        let pixels = ImageGrid::of_images(&[0.0, 1.0, 0.5, 0.0], 2, 2).expect("an image");
        let (width, _, pixels) = read(&pixels.png(1).expect("a picture"));
        assert_eq!(pixels[(GAP * width + GAP + 1) * 3..][..3], [20; 3]);
        let grid = ImageGrid::of_images(&[f32::NEG_INFINITY, 1.0], 1, 2).expect("an image");
        assert!(grid.svg(1).expect("a picture").contains("data:image/png;base64,"));
    }

    #[test]
    fn what_cannot_be_drawn_is_an_error() {
        let error = ImageGrid::of_units(&[0.0; 6], 2, 2).expect_err("no images").to_string();
        assert_eq!(error, "6 numbers are no images of 2 by 2 pixels");
        assert!(ImageGrid::of_images(&[], 2, 2).is_err());
        assert!(ImageGrid::of_images(&[1.0], 0, 1).is_err());
        assert!(ImageGrid::of_images(&[1.0], usize::MAX, 2).is_err());
        let grid = ImageGrid::of_images(&[0.0; 16], 2, 2).expect("images");
        assert!(grid.png(100_000).expect_err("large").to_string().contains("make `zoom` smaller"));
        assert!(grid.png(usize::MAX).is_err());
    }
}
