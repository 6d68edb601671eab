//! Figures as PNG files, painted from their SVG with the system's own fonts.

use anyhow::{Result, bail};

/// Pixels per unit of a figure: 1080 for the width of a panel, enough for print.
#[cfg(feature = "png")]
const SCALE: f32 = 3.0;

/// Paints figures.
pub struct Painter {
    #[cfg(feature = "png")]
    options: resvg::usvg::Options<'static>,
}

#[cfg(feature = "png")]
impl Painter {
    /// With the fonts of this system.
    ///
    /// # Errors
    /// There are none: a figure without its words would be wrong, not poor.
    pub fn new() -> Result<Self> {
        let mut options = resvg::usvg::Options::default();
        options.fontdb_mut().load_system_fonts();
        let fonts = options.fontdb_mut();
        // The families that a figure asks for may all be absent; any upright face without serifs does.
        let Some(face) =
            fonts.faces().find(|f| f.families.iter().any(|n| n.0.contains("Sans"))).or(fonts.faces().next())
        else {
            bail!("found no font on this system, wanted one for the words of the figures; install one, or use --svg")
        };
        let name = face.families.first().map(|f| f.0.clone()).unwrap_or_default();
        fonts.set_sans_serif_family(name);
        Ok(Painter { options })
    }

    /// The bytes of a PNG file.
    pub fn paint(&self, svg: &str) -> Result<Vec<u8>> {
        use anyhow::Context;
        use resvg::tiny_skia::{Pixmap, Transform};
        let tree = resvg::usvg::Tree::from_str(svg, &self.options).context("a figure cannot be painted")?;
        let size = tree.size();
        let side = |units: f32| (units * SCALE).ceil() as u32;
        let pixmap = Pixmap::new(side(size.width()), side(size.height()));
        let mut pixmap = pixmap.context("a figure has no area")?;
        resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixmap.as_mut());
        pixmap.encode_png().context("a figure cannot be encoded")
    }
}

#[cfg(not(feature = "png"))]
impl Painter {
    /// # Errors
    /// Always: this build has no painter.
    pub fn new() -> Result<Self> {
        bail!("this build of qbnn paints no PNG; use --svg, or build with `cargo build --release --features png`")
    }

    /// # Errors
    /// Always.
    pub fn paint(&self, _svg: &str) -> Result<Vec<u8>> {
        Painter::new().map(|_| Vec::new())
    }
}
