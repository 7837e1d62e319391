//! The training loop.

use super::engine::{DeviceData, Engine, EpochPlace, Weights};
use super::evaluation::Evaluation;
use super::event::{DeviceEvent, EpochRecord, Event, Observer, Start, Summary, Tick};
use super::folder::{CHECKPOINT, Folder, MODEL};
use super::histograms;
use super::mistakes::{self, Mistake};
use super::model::{Model, weights_sha256};
use super::pace::Pace;
use super::partition::Partition;
use super::state::{Checkpoint, Progress};
use crate::backend::device::Device;
use crate::data::DataSet;
use crate::error::Error;
use crate::layers;
use crate::plan::inspect::{self, Inspection};
use crate::plan::network::Description;
use crate::plan::optimizer::corrected_rate;
use crate::recipe::Recipe;
use crate::rng::{Purpose, Stream};
use anyhow::{Result, bail};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What is to be trained, on what, and what for.
pub struct Job<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The data.
    pub data: &'a DataSet,
    /// The device.
    pub device: &'a Device,
    /// The seed of everything random.
    pub seed: u64,
    /// Weights to start from instead of the initialisers'.
    pub initial: Option<Weights>,
    /// The state to go on from.
    pub checkpoint: Option<Checkpoint>,
    /// Where to save.
    pub folder: Option<&'a Folder>,
    /// Steps between `step` events; 0 is never.
    pub log_every: usize,
    /// Steps between checkpoints within an epoch; 0 is never.
    pub checkpoint_steps: usize,
    /// Seconds between checkpoints within an epoch.
    pub checkpoint_seconds: f64,
    /// Set by a signal: save and stop.
    pub stop: &'a AtomicBool,
}

/// What training leaves.
pub struct Outcome {
    /// The network.
    pub model: Model,
    /// The figures of the epochs.
    pub history: Vec<EpochRecord>,
    /// The figures at the end.
    pub summary: Summary,
    /// The loss of every step, reduced as the recipe says.
    pub losses: Vec<f64>,
    /// Losses and answers on the test set.
    pub evaluation: Evaluation,
    /// The worst mistakes on the test set, where the run has a folder to show them in.
    pub mistakes: Vec<Mistake>,
}

/// Trains.
///
/// # Errors
/// When the recipe does not fit the data, the device or a file fails, the numbers leave the finite ones
/// ([`Error::Diverged`]), or a signal came ([`Error::Interrupted`], after saving).
pub fn run(job: Job<'_>, observer: &mut dyn Observer) -> Result<Outcome> {
    Loop::start(job, observer)?.finish()
}

struct Loop<'a> {
    job: Job<'a>,
    observer: &'a mut dyn Observer,
    engine: Engine,
    /// Programs that take histograms, where they are wanted.
    inspection: Option<Inspection>,
    model: Model,
    partition: Partition,
    steps_per_epoch: usize,
    total_steps: usize,
    progress: Progress,
    /// Losses of the finished epochs' steps: sums over the batch.
    losses: Vec<f32>,
    best_weights: Option<Weights>,
    saved: Instant,
}

impl<'a> Loop<'a> {
    fn start(mut job: Job<'a>, observer: &'a mut dyn Observer) -> Result<Self> {
        let (recipe, data) = (job.recipe, job.data);
        let partition = Partition::new(&recipe.data, data)?;
        let rows = partition.training;
        let device_data = DeviceData::of(data);
        let input = device_data.shape();
        let layers = layers::resolve(recipe, input, data.classes)?;
        let transform = recipe.data.scaling.transform(&data.train.images, 0..rows);
        let (mut inspection, wanted) = (None, observer.wants_histograms());
        let mut engine = Engine::with_plan(
            recipe,
            &layers,
            data.classes,
            transform,
            &device_data,
            job.device,
            |network, d| {
                let images = histograms::IMAGES.min(rows);
                let of_images = Description { batch_size: images, rows: images, ..*d };
                inspection = wanted.then(|| inspect::add(network, &of_images));
            },
        )?;
        let checkpoint = job.checkpoint.take();
        let weights = match (&checkpoint, job.initial.take()) {
            (Some(checkpoint), _) => checkpoint.weights.clone(),
            (None, Some(weights)) => weights,
            (None, None) => Weights::initial(&layers, &engine.network.parameters, job.seed),
        };
        engine.set_weights(&weights)?;
        let steps_per_epoch = rows.div_ceil(engine.batch_size());
        let total_steps = recipe.training.length().total_steps(steps_per_epoch as u64) as usize;
        let (progress, mut losses, best_weights) = match checkpoint {
            Some(checkpoint) => {
                checkpoint.check_place(steps_per_epoch, total_steps)?;
                checkpoint.restore(&mut engine)?;
                (checkpoint.progress, checkpoint.losses, checkpoint.best_weights)
            }
            None => Default::default(),
        };
        losses.truncate(losses.len() - progress.step);
        let model = Model { recipe: recipe.clone(), input, classes: data.classes, transform, weights };
        let mut this = Self {
            job,
            observer,
            engine,
            inspection,
            model,
            partition,
            steps_per_epoch,
            total_steps,
            progress,
            losses,
            best_weights,
            saved: Instant::now(),
        };
        this.announce()?;
        this.start_histograms()?;
        Ok(this)
    }

    fn announce(&mut self) -> Result<()> {
        let weights = &self.model.weights;
        let start = Start {
            recipe: self.job.recipe.name.clone(),
            parameters: weights.parameters.len() + weights.statistics.len(),
            device: DeviceEvent::from(self.engine.device()),
            seed: self.job.seed,
            rows: self.partition.training,
            validation_rows: self.partition.validation.len(),
            batch_size: self.engine.batch_size(),
            steps: self.total_steps,
            first_step: self.progress.global_step,
        };
        self.tell(Event::Start(start))
    }

    fn tell(&mut self, event: Event) -> Result<()> {
        if let Some(folder) = self.job.folder {
            folder.append_event(&event)?;
        }
        self.observer.event(&event)
    }

    fn finish(mut self) -> Result<Outcome> {
        while self.progress.global_step < self.total_steps
            && !self.job.recipe.training.should_stop(&self.progress)
        {
            self.epoch()?;
        }
        self.result()
    }

    /// One epoch, or the rest of one.
    fn epoch(&mut self) -> Result<()> {
        let epoch = self.progress.epoch;
        let before = self.progress.global_step - self.progress.step;
        let steps = self.steps_per_epoch.min(self.total_steps - before);
        let clock = Instant::now();
        let order = self.order(epoch);
        let schedule = self.schedule(before);
        let Progress { step, global_step, .. } = self.progress;
        self.engine.start_epoch(EpochPlace { epoch, step, global_step }, self.job.seed, &order, &schedule)?;
        self.steps(steps, clock)?;
        let (losses, hits) = self.engine.step_results(0..steps)?;
        self.check_finite(&losses, before)?;
        let images = self.partition.training.min(steps * self.engine.batch_size());
        let seconds = self.progress.seconds;
        let (val_loss, val_accuracy) = self.validate()?;
        let record = EpochRecord {
            epoch: epoch + 1,
            loss: losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / images as f64,
            accuracy: hits.iter().map(|&hits| u64::from(hits)).sum::<u64>() as f64 / images as f64,
            val_loss,
            val_accuracy,
            seconds,
            images_per_second: images as f64 / seconds.max(1e-9),
        };
        self.losses.extend(&losses);
        self.progress.epoch += 1;
        self.progress.step = 0;
        self.progress.seconds = 0.0;
        self.progress.history.push(record.clone());
        self.judge(&record)?;
        // Before the checkpoint: a run that is killed between the two makes these lines again.
        self.take_histograms()?;
        if let Some(folder) = self.job.folder {
            folder.write_history(&self.progress.history)?;
            self.save()?;
        }
        self.tell(Event::Epoch(record))
    }

    /// Those of the untrained network; a run that is taken up keeps the lines of its finished epochs.
    fn start_histograms(&mut self) -> Result<()> {
        if let (Some(folder), true) = (self.job.folder, self.inspection.is_some()) {
            histograms::truncate(folder, self.progress.epoch)?;
        }
        if self.progress.global_step == 0 { self.take_histograms() } else { Ok(()) }
    }

    fn take_histograms(&mut self) -> Result<()> {
        let Some(inspection) = &self.inspection else { return Ok(()) };
        let found = histograms::take(&mut self.engine, inspection, self.progress.epoch, self.job.seed)?;
        if let Some(folder) = self.job.folder {
            histograms::append(folder, &found)?;
        }
        self.observer.histograms(&found)
    }

    /// The order of the epoch's images.
    fn order(&self, epoch: usize) -> Vec<u32> {
        if self.job.recipe.training.shuffle {
            Stream::new(self.job.seed, Purpose::Shuffle, epoch as u32, 0).permutation(self.partition.training)
        } else {
            (0..self.partition.training as u32).collect()
        }
    }

    /// Learning rates of an epoch whose first step has this number.
    fn schedule(&self, first: usize) -> Vec<f32> {
        let recipe = self.job.recipe;
        let base = recipe.optimizer.learning_rate();
        let (per_epoch, total) = (self.steps_per_epoch as u64, self.total_steps as u64);
        (first as u64..(first + self.steps_per_epoch) as u64)
            .flat_map(|step| {
                let rate = recipe.schedule.learning_rate(base, step, per_epoch, total);
                [rate as f32, corrected_rate(&recipe.optimizer, rate, step) as f32]
            })
            .collect()
    }

    /// Runs the steps of this epoch in turns, with progress, events, checkpoints and signals between them.
    fn steps(&mut self, steps: usize, mut clock: Instant) -> Result<()> {
        let mut pace = Pace::new(self.engine.steps_at_once());
        let mut logged = self.progress.step;
        while self.progress.step < steps {
            if self.job.stop.load(Ordering::Relaxed) {
                return self.interrupted();
            }
            let here = self.progress.step;
            let mut end = (here + pace.steps()).min(steps);
            for every in [self.job.log_every, self.job.checkpoint_steps] {
                let next = (here + 1).checked_next_multiple_of(every);
                end = end.min(next.unwrap_or(end));
            }
            self.engine.run_steps(end - here)?;
            self.progress.step = end;
            self.progress.global_step += end - here;
            if end == steps {
                self.engine.wait()?;
            }
            self.progress.seconds += clock.elapsed().as_secs_f64();
            let elapsed = std::mem::replace(&mut clock, Instant::now()).elapsed();
            pace.learn(end - here, elapsed);
            if self.job.log_every > 0 && end.is_multiple_of(self.job.log_every) {
                self.log_steps(logged..end)?;
                logged = end;
                clock = Instant::now();
            }
            self.tick(steps);
            if end < steps && self.checkpoint_is_due() {
                self.save()?;
                clock = Instant::now();
            }
        }
        Ok(())
    }

    fn tick(&mut self, steps: usize) {
        let Progress { step, seconds, global_step, .. } = self.progress;
        let done = (step * self.engine.batch_size()).min(self.partition.training) as f64;
        let per_step = seconds / step.max(1) as f64;
        self.observer.tick(&Tick {
            epoch: self.progress.epoch + 1,
            epochs: self.total_steps.div_ceil(self.steps_per_epoch),
            step,
            steps,
            images_per_second: done / seconds.max(1e-9),
            seconds_left: per_step * (self.total_steps - global_step) as f64,
        });
    }

    /// A `step` event for the last of these steps of the epoch; all of them are looked at for what is not finite.
    fn log_steps(&mut self, steps: Range<usize>) -> Result<()> {
        let (losses, _) = self.engine.step_results(steps.clone())?;
        let before = self.progress.global_step - steps.len();
        self.check_finite(&losses, before)?;
        if let Some(&last) = losses.last() {
            let loss = self.reduced(last, steps.end - 1);
            self.tell(Event::Step { step: self.progress.global_step, loss })?;
        }
        Ok(())
    }

    /// A batch's summed loss as the recipe reduces it; `step` is within the epoch.
    fn reduced(&self, summed: f32, step: usize) -> f64 {
        let batch = self.engine.batch_size();
        let images = batch.min(self.partition.training - (step * batch).min(self.partition.training - 1));
        f64::from(summed) / self.job.recipe.training.loss.divisor(images, batch) as f64
    }

    /// Ends training where a loss, or anything else that the network keeps, is not finite.
    fn check_finite(&mut self, losses: &[f32], before: usize) -> Result<()> {
        let position = losses.iter().position(|loss| !loss.is_finite());
        let tensor = self.engine.not_finite()?;
        let what = match (position, tensor) {
            (None, None) => return Ok(()),
            (Some(position), tensor) => format!(
                "the loss of step {} is {} (not finite: {})",
                before + position + 1,
                losses[position],
                tensor.unwrap_or_else(|| "no weight yet; the loss itself".into())
            ),
            (None, Some(tensor)) => {
                format!("after step {} the network is not finite: {tensor}", before + losses.len())
            }
        };
        let kept = match self.job.folder {
            Some(folder) if folder.path().join(CHECKPOINT).exists() => {
                format!(" The last finite checkpoint is kept in {}.", folder.path().display())
            }
            _ => String::new(),
        };
        bail!(Error::Diverged(format!(
            "{what}; lower --learning-rate (it is {}), clip gradients with --set training.clip_norm=1, or scale the pixels \
             (--set data.scaling=\"unit\").{kept}",
            self.job.recipe.optimizer.learning_rate()
        )))
    }

    fn validate(&mut self) -> Result<(Option<f64>, Option<f64>)> {
        if self.partition.validation.is_empty() {
            return Ok((None, None));
        }
        let evaluation = self.engine.evaluate(&self.partition.validation)?;
        Ok((Some(evaluation.loss()), Some(evaluation.accuracy())))
    }

    /// Keeps the best epoch's weights, where the recipe wants them.
    fn judge(&mut self, record: &EpochRecord) -> Result<()> {
        let recipe = self.job.recipe;
        let improved = recipe.training.judge(recipe.data.validation, record, &mut self.progress);
        if improved && recipe.training.wants_best() {
            self.best_weights = Some(self.engine.weights()?);
        }
        Ok(())
    }

    fn checkpoint_is_due(&self) -> bool {
        // Counted within the epoch, at whose end there is one as well: so none is more than this many steps after another,
        // wherever the run was taken up.
        let every = self.job.checkpoint_steps;
        let by_steps = every > 0 && self.progress.step.is_multiple_of(every);
        self.job.folder.is_some()
            && (by_steps || self.saved.elapsed().as_secs_f64() >= self.job.checkpoint_seconds)
    }

    fn save(&mut self) -> Result<()> {
        let Some(folder) = self.job.folder else { return Ok(()) };
        let best = self.best_weights.as_ref();
        let checkpoint = Checkpoint::take(&mut self.engine, &self.progress, &self.losses, best)?;
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        // A state that is not finite is no place to go on from; the epoch's end will report it.
        let weights = [&checkpoint.weights.parameters, &checkpoint.weights.statistics, &checkpoint.losses];
        if weights.into_iter().chain(&checkpoint.moments).all(|values| finite(values)) {
            folder.write(CHECKPOINT, &checkpoint.to_bytes()?)?;
        }
        self.saved = Instant::now();
        Ok(())
    }

    fn interrupted(&mut self) -> Result<()> {
        self.save()?;
        let Some(folder) = self.job.folder else {
            bail!(Error::Interrupted("nothing, since the run has no folder".into()));
        };
        bail!(Error::Interrupted(format!("go on with: gpu-mnist train --resume {}", folder.path().display())))
    }

    fn result(mut self) -> Result<Outcome> {
        let wants_best = self.job.recipe.training.wants_best();
        if let Some(best) = self.best_weights.take().filter(|_| wants_best) {
            self.engine.set_weights(&best)?;
        }
        self.model.weights = self.engine.weights()?;
        let evaluation = self.engine.evaluate(&self.partition.test)?;
        let history = std::mem::take(&mut self.progress.history);
        let summary = Summary {
            test_loss: evaluation.loss(),
            test_accuracy: evaluation.accuracy(),
            train_seconds: history.iter().map(|record| record.seconds).sum(),
            images_per_second: median_rate(&history),
            epochs: history.len(),
            best_epoch: self.progress.best.map(|best| best.epoch),
            weights_sha256: weights_sha256(&self.model.weights),
            run_dir: self.job.folder.map(|folder| folder.path().display().to_string()),
        };
        let losses: Vec<f64> = (self.losses.iter().enumerate())
            .map(|(step, &loss)| self.reduced(loss, step % self.steps_per_epoch))
            .collect();
        let mut mistakes = Vec::new();
        if let Some(folder) = self.job.folder {
            folder.write_steps(losses.iter().copied())?;
            folder.write(MODEL, &self.model.to_bytes()?)?;
            let (test, classes) = (&self.job.data.test, self.job.data.classes);
            mistakes =
                mistakes::worst(&mut self.engine, &evaluation, &self.partition.test, &test.labels, classes)?;
        }
        self.tell(Event::Result(summary.clone()))?;
        Ok(Outcome { model: self.model, history, summary, losses, evaluation, mistakes })
    }
}

/// The median rate over the epochs after the first, or that of the first.
fn median_rate(history: &[EpochRecord]) -> f64 {
    let mut rates: Vec<f64> =
        history.iter().skip(usize::from(history.len() > 1)).map(|r| r.images_per_second).collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(0.0)
}
