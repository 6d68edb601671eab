//! Pools and activations by themselves: every entry of the gradient of their input, corners and ties included.

use super::*;

/// Values on a grid of 1/8 and steps of 1/32: no corner is crossed and f32 makes no error.
#[test]
fn activations_by_themselves() {
    let all = [
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.25 },
        Activation::ClippedRelu { max: 1.5 },
        Activation::Hardtanh,
    ];
    let x: Vec<f32> = (-40..40).map(|i| i as f32 / 8.0 + 1.0 / 16.0).collect();
    let mut dx = vec![f32::NAN; x.len()];
    let dy: Vec<f32> = (0..x.len()).map(|i| (i % 7) as f32 - 3.0).collect();
    for function in all {
        let mut y = vec![f32::NAN; x.len()];
        function.forward(&x, &mut y);
        dx.fill(f32::NAN);
        function.backward(&x, &dy, &mut dx);
        for (i, &x) in x.iter().enumerate() {
            assert_eq!(y[i], function.value(x), "{function:?} of {x}");
            let slope = (function.value(x + 1.0 / 32.0) - function.value(x - 1.0 / 32.0)) * 16.0;
            assert_eq!(function.slope(x), slope, "{function:?} at {x}");
            assert_eq!(dx[i], slope * dy[i], "{function:?} at {x}: gradient");
            assert!(function.signed() || y[i] >= 0.0);
            assert!(function.ceiling().is_none_or(|top| y[i] <= top));
        }
        // At a corner, the derivative from the left.
        for corner in [-1.0, 0.0, 1.0, 1.5] {
            let left = (function.value(corner) - function.value(corner - 1.0 / 32.0)) * 32.0;
            assert_eq!(function.slope(corner), left, "{function:?} at its corner {corner}");
            let mut dx = [0.0];
            function.backward(&[corner], &[1.0], &mut dx);
            assert_eq!(dx[0], left, "{function:?} at its corner {corner}: gradient");
        }
    }
}

/// The smooth ones against the library, in f64, and against differences of it.
#[test]
fn smooth_activations_by_themselves() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let all: [(Activation, &dyn Fn(f64) -> f64); 2] = [(Activation::Tanh, &f64::tanh), (Activation::Sigmoid, &sigmoid)];
    for (function, exact) in all {
        for i in -400..=400 {
            let x = i as f32 / 16.0;
            let (y, slope) = (function.value(x) as f64, function.slope(x) as f64);
            assert!((y - exact(x as f64)).abs() < 1e-6, "{function:?} of {x}: {y}");
            let h = 1e-5;
            let wanted = (exact(x as f64 + h) - exact(x as f64 - h)) / (2.0 * h);
            assert!((slope - wanted).abs() < 1e-6, "{function:?} at {x}: {slope} {wanted}");
            assert!(function.signed() || y >= 0.0);
            assert!(function.ceiling().is_some_and(|top| y <= f64::from(top)));
        }
    }
}

/// Every entry of the input's gradient of random pools. Values are whole numbers, all different, and the step is 1/4, so
/// that no tie is crossed and differences are exact.
#[test]
fn pools_by_themselves() {
    for seed in 0..60 {
        let random = &mut Random(seed);
        let input = any_image(random, 3);
        let (size, stride, batch) = (random.range(1, 3), random.range(1, 4), [1, 2, 5][random.range(0, 2)]);
        let side = |n| windows(n, size, stride, 0);
        let output = Shape { rows: side(input.rows), columns: side(input.columns), ..input };
        for max in [true, false] {
            let pool = Pool { input, output, size, stride, max };
            let about = format!("seed {seed}, batch {batch}, {pool:?}");
            let n = input.len() * batch;
            let mut x: Vec<f32> = (0..n).map(|i| i as f32).collect();
            (1..n).for_each(|i| x.swap(i, random.range(0, i)));
            let dy: Vec<f32> = (0..output.len() * batch).map(|_| random.range(0, 16) as f32 - 8.0).collect();
            let mut y = vec![f32::NAN; dy.len()];
            pool.forward(&x, &mut y, batch);
            let mut dx = vec![f32::NAN; n];
            pool.backward(&x, &y, &dy, &mut dx, batch);
            let mut loss = |x: &[f32]| {
                pool.forward(x, &mut y, batch);
                y.iter().zip(&dy).map(|(&y, &dy)| y as f64 * dy as f64).sum::<f64>()
            };
            for i in 0..n {
                let middle = x[i];
                let [up, down] = [0.25, -0.25].map(|step| {
                    x[i] = middle + step;
                    loss(&x)
                });
                x[i] = middle;
                let want = (up - down) / 0.5;
                // Means are of up to nine numbers below 600, in f32; largest values are exact.
                let tolerance = if max { 0.0 } else { 2e-2 };
                assert!((dx[i] as f64 - want).abs() <= tolerance, "{about}: dx[{i}] is {}, wanted {want}", dx[i]);
            }
        }
    }
}

#[test]
fn of_equal_largest_values_the_first_takes_the_gradient() {
    let shape = |rows, columns| Shape { channels: 1, rows, columns };
    let pool = Pool { input: shape(2, 2), output: shape(1, 1), size: 2, stride: 2, max: true };
    // Two images: all equal, and equal in the second and the last place.
    let x = [2.0, 1.0, 2.0, 5.0, 2.0, 0.0, 2.0, 5.0];
    let (mut y, mut dx) = ([0.0; 2], [0.0; 8]);
    pool.forward(&x, &mut y, 2);
    assert_eq!(y, [2.0, 5.0]);
    pool.backward(&x, &y, &[7.0, 9.0], &mut dx, 2);
    assert_eq!(dx, [7.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 0.0]);
}
