"""Can the model learn one small batch by heart? If not, something between data, loss and gradient is broken."""

from stages.lm.training.loop import Run
from stages.lm.training.settings import TrainSettings


def learn_by_heart(run: Run, steps: int, below: float) -> list[float]:
    """The losses, in nats per token, of up to so many steps on the run's first batch alone; it ends when one is `below`."""
    batch = run.data.batch(0)
    losses: list[float] = []
    while len(losses) < steps and (not losses or losses[-1] >= below):
        run.seed(1)
        losses.append(run.learner.step(batch, run.settings.learning_rate).loss.item())
    return losses


def settings_for(settings: TrainSettings, examples: int) -> TrainSettings:
    """The settings with which so many examples are learned by heart: no weight decay, and no dropout where there is one."""
    changed = {"batch_size": examples, "weight_decay": 0.0}
    model = settings.model.model_copy(update={"dropout": 0.0} if hasattr(settings.model, "dropout") else {})
    return TrainSettings(model=model, training=settings.training.model_copy(update=changed))
