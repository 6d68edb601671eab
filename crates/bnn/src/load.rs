//! From bytes to a block's input: images gathered, normalised, each training pair with its own noise, and transposed so
//! that the images lie innermost and their channels outermost.

use crate::data::{Normalisation, TrainData};
use crate::nn::kernel::{RUN, runs_mut, transpose};
use crate::nn::pass::Input;
use crate::noise::{self, purpose};
use crate::settings::{Labels, TrainSettings};
use pulp::{Arch, Simd, WithSimd};
use qbnn_core::ImagesView;
use qbnn_core::noise::{GAUSSIAN, GAUSSIAN_FRACTION_BITS, NoiseCounter};

/// Working memory of loading.
#[derive(Default)]
pub struct LoadScratch {
    bytes: Vec<u8>,
    noise: Vec<i16>,
    blended: Vec<u8>,
}

/// Loads training pairs.
pub struct Loader<'a> {
    data: TrainData<'a>,
    normalisation: Normalisation,
    key: [u32; 2],
    /// Largest share of an OOD image in a blended training image, in 256ths; 0 for no blends.
    blend: u32,
}

impl<'a> Loader<'a> {
    /// For some data, of which soft labels are read if the settings say so.
    pub fn new(data: TrainData<'a>, settings: &TrainSettings, normalisation: Normalisation, seed: u64) -> Self {
        let soft_labels = data.soft_labels.filter(|_| settings.labels == Labels::Soft);
        let blend = if settings.ood_weight > 0.0 { (settings.ood_blend.unwrap_or(0.0) * 256.0) as u32 } else { 0 };
        Loader { data: TrainData { soft_labels, ..data }, normalisation, key: qbnn_core::noise::key(seed), blend }
    }

    /// Fills a block's input with at most 32 pairs of step `step`, zeros past them.
    pub fn load(&self, pairs: &[u32], step: u64, input: Input<'_>, scratch: &mut LoadScratch) {
        let Input { input, transposed } = input;
        let pixels = input.len() / RUN;
        let LoadScratch { bytes, noise, blended } = scratch;
        blended.clear();
        let places: Vec<_> = pairs.iter().map(|&pair| self.blend(pair, step, blended)).collect();
        let member = |(&pair, place): (&u32, Option<usize>)| match place {
            Some(place) => &blended[place..][..pixels],
            None => self.image(pair),
        };
        let members: Vec<&[u8]> = pairs.iter().zip(places).map(member).collect();
        if self.data.noise > 0.0 {
            bytes.resize(pixels, 0);
            noise.resize(pairs.len() * pixels, 0);
            for (noise, &draw) in noise.chunks_exact_mut(pixels).zip(pairs) {
                noise::loose_bytes(self.key, NoiseCounter { purpose: purpose::PIXELS, tensor: 0, draw }, bytes);
                look_up(bytes, noise);
            }
        }
        let scale = self.data.noise / (1u32 << GAUSSIAN_FRACTION_BITS) as f32;
        let noise = (scale, &noise[..]);
        let channels = self.data.images.shape.channels;
        let normalisation = self.normalisation;
        Arch::new().dispatch(Fill { input, transposed, images: &members, channels, normalisation, noise });
    }

    /// The image of a pair.
    fn image(&self, pair: u32) -> &[u8] {
        self.data.images.get(self.data.pairs[pair as usize].0 as usize)
    }

    /// Appends the blend of a pair's image in a step, and gives its place; `None` where the image stays as it is, as half of
    /// them do. A blend is `(256 - a) / 256` of the image and `a / 256` of an OOD image, `a` even up to the largest share.
    fn blend(&self, pair: u32, step: u64, into: &mut Vec<u8>) -> Option<usize> {
        let ood = self.data.ood.filter(|ood| self.blend > 0 && !ood.is_empty())?;
        let mut random = [0; 8];
        let place = NoiseCounter { purpose: purpose::BLENDS, tensor: step as u32, draw: pair };
        noise::bytes(self.key, place, &mut random);
        let [coin, share, _, _, which @ ..] = random;
        if coin & 1 == 1 {
            return None;
        }
        let other = ood.get(((u32::from_le_bytes(which) as u64 * ood.len() as u64) >> 32) as usize);
        let share = share as u32 * self.blend / 255;
        let start = into.len();
        let mixed = |(&a, &b): (&u8, &u8)| ((a as u32 * (256 - share) + b as u32 * share + 128) / 256) as u8;
        into.extend(self.image(pair).iter().zip(other).map(mixed));
        Some(start)
    }

    /// What at most 32 pairs shall be taken for: `[class][image]` probabilities, zeros past them. Their own labels, or
    /// the soft ones of their images.
    pub fn targets(&self, pairs: &[u32], targets: &mut [f32]) {
        let classes = targets.len() / RUN;
        targets.fill(0.0);
        for (i, &pair) in pairs.iter().enumerate() {
            let (image, label) = self.data.pairs[pair as usize];
            match self.data.soft_labels {
                Some(soft) => {
                    let soft = &soft[image as usize * classes..][..classes];
                    soft.iter().enumerate().for_each(|(class, &p)| targets[class * RUN + i] = p);
                }
                None => targets[label as usize * RUN + i] = 1.0,
            }
        }
    }

    /// Fills a block's input with OOD images (there must be some): the next 32 of them in step `step`, over and over.
    pub fn load_ood(&self, ood: ImagesView<'_>, step: u64, input: Input<'_>) {
        let first = step as usize * RUN;
        let members: Vec<&[u8]> = (first..first + RUN).map(|at| ood.get(at % ood.len())).collect();
        let Input { input, transposed } = input;
        let (images, channels, normalisation) = (&members[..], ood.shape.channels, self.normalisation);
        Arch::new().dispatch(Fill { input, transposed, images, channels, normalisation, noise: (0.0, &[]) });
    }
}

/// Fills a block's input with images of so many channels, zeros past them.
pub(crate) fn fill(input: Input<'_>, images: &[&[u8]], channels: usize, normalisation: Normalisation) {
    Arch::new().dispatch(Fill {
        input: input.input,
        transposed: None,
        images,
        channels,
        normalisation,
        noise: (0.0, &[]),
    });
}

/// Each byte's entry of the Gaussian table. Not inlined: within a vectorized loop it would become gathers, which are
/// slower than plain loads.
#[inline(never)]
fn look_up(bytes: &[u8], noise: &mut [i16]) {
    const UNROLLED: usize = 16;
    let (bytes, bytes_rest) = bytes.as_chunks::<UNROLLED>();
    let (noise, noise_rest) = noise.as_chunks_mut::<UNROLLED>();
    for (noise, bytes) in noise.iter_mut().zip(bytes) {
        for i in 0..UNROLLED {
            noise[i] = GAUSSIAN[bytes[i] as usize];
        }
    }
    noise_rest.iter_mut().zip(bytes_rest).for_each(|(n, &byte)| *n = GAUSSIAN[byte as usize]);
}

struct Fill<'a> {
    input: &'a mut [f32],
    /// The same with the pixels innermost, where somebody wants that too.
    transposed: Option<&'a mut [f32]>,
    /// Each `[row][column][channel]`.
    images: &'a [&'a [u8]],
    channels: usize,
    normalisation: Normalisation,
    /// A factor and what it multiplies, `[image][pixel]`; nothing without noise.
    noise: (f32, &'a [i16]),
}

impl WithSimd for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Fill { input, mut transposed, images, channels, normalisation, noise: (scale, noise) } = self;
        let pixels = input.len() / RUN;
        let mut own = [[0.0f32; RUN]; RUN];
        for (chunk, into) in runs_mut(input).chunks_mut(RUN).enumerate() {
            let at = chunk * RUN..chunk * RUN + into.len();
            let tile = match &mut transposed {
                Some(transposed) => runs_mut(transposed)[chunk * RUN..].first_chunk_mut().unwrap_or(&mut own),
                None => &mut own,
            };
            for (i, (values, image)) in tile.iter_mut().zip(images).enumerate() {
                let pixels_at: [u8; RUN] = match channels {
                    1 => pad_run(&image[at.clone()]),
                    _ => plane_run(image, at.clone(), channels),
                };
                for (value, pixel) in values.iter_mut().zip(pixels_at) {
                    *value = normalisation.value(pixel);
                }
                if let Some(noise) = noise.get(i * pixels + at.start..i * pixels + at.end) {
                    let noise: [i16; RUN] = pad_run(noise);
                    for (value, noise) in values.iter_mut().zip(noise) {
                        *value += noise as f32 * scale;
                    }
                }
            }
            for row in &mut tile[images.len()..] {
                *row = [0.0; RUN];
            }
            transpose(simd, tile, into);
        }
    }
}

/// A run's worth of an image's values counted channel by channel, zeros past its end.
fn plane_run(image: &[u8], at: std::ops::Range<usize>, channels: usize) -> [u8; RUN] {
    let area = image.len() / channels;
    let mut run = [0; RUN];
    for (value, at) in run.iter_mut().zip(at) {
        *value = image[at % area * channels + at / area];
    }
    run
}

/// A run's worth of a slice, zeros past its end: an array, so that the loops over it have a length that the compiler
/// knows.
#[inline(always)]
fn pad_run<T: Copy + Default>(from: &[T]) -> [T; RUN] {
    match from.first_chunk() {
        Some(run) => *run,
        None => {
            let mut run = [T::default(); RUN];
            run[..from.len()].copy_from_slice(from);
            run
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_become_planes() {
        let image = [10, 20, 30, 40, 50, 60];
        let mut input = [0.0; 6 * RUN];
        let identity = Normalisation { mean: 0.0, std: 1.0 / 255.0 };
        fill(Input { input: &mut input, transposed: None }, &[&image], 3, identity);
        let first: Vec<u32> = input.iter().step_by(RUN).map(|x| x.round() as u32).collect();
        assert_eq!(first, [10, 40, 20, 50, 30, 60]);
    }

    #[test]
    fn half_of_the_images_are_blended_by_at_most_the_largest_share_and_keep_their_labels() {
        const COUNT: usize = 4096;
        let shape = qbnn_core::Shape { channels: 1, rows: 1, columns: 2 };
        let (training, ood) = ([0u8; 2 * COUNT], [255u8, 200]);
        let pairs: Vec<(u32, u16)> = (0..COUNT as u32).map(|i| (i, (i % 3) as u16)).collect();
        let view = |pixels| ImagesView { shape, pixels };
        let plain = TrainData::of_pairs(view(&training[..]), &pairs, view(&[]), &[]);
        let data = TrainData { ood: Some(view(&ood[..])), ..plain };
        let settings = |ood_weight, ood_blend| TrainSettings { ood_weight, ood_blend, ..TrainSettings::default() };
        let identity = Normalisation { mean: 0.0, std: 1.0 / 255.0 };
        let loaded = |data, settings: &TrainSettings, step| {
            let loader = Loader::new(data, settings, identity, 7);
            let mut first = Vec::new();
            for block in (0..COUNT as u32).collect::<Vec<_>>().chunks(RUN) {
                let mut input = [0.0; 2 * RUN];
                loader.load(block, step, Input { input: &mut input, transposed: None }, &mut LoadScratch::default());
                for (a, b) in input[..RUN].iter().zip(&input[RUN..]) {
                    // Both pixels of a blend have the same share of the OOD image.
                    assert!((a * 200.0 / 255.0 - b).abs() <= 1.0, "{a} {b}");
                }
                first.extend_from_slice(&input[..RUN]);
            }
            let mut targets = [0.0; 3 * RUN];
            loader.targets(&[4], &mut targets);
            assert_eq!(targets[RUN], 1.0);
            first
        };
        let blended = loaded(data, &settings(1.0, Some(0.5)), 3);
        let (most, changed) =
            (blended.iter().fold(0.0f32, |m, &p| m.max(p)), blended.iter().filter(|&&p| p > 0.5).count());
        assert!((120.0..=128.5).contains(&most), "half of 255 at most, found {most}");
        assert!((0.46..0.54).contains(&(changed as f64 / COUNT as f64)), "{changed} of {COUNT}");
        // Each step anew, the same step alike.
        assert_ne!(blended, loaded(data, &settings(1.0, Some(0.5)), 4));
        assert_eq!(blended, loaded(data, &settings(1.0, Some(0.5)), 3));
        for (data, settings) in
            [(data, settings(1.0, None)), (data, settings(0.0, Some(0.5))), (plain, settings(1.0, Some(0.5)))]
        {
            assert!(loaded(data, &settings, 3).iter().all(|&p| p == 0.0), "{settings:?}");
        }
    }
}
