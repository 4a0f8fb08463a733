"""The same variational autoencoder as a plain torch loop, in pythae, and as its matrix products alone."""

import torch
from _timing import TaskClock
from torch import nn
from torch.nn import functional as F


class PlainVAE(nn.Module):
    """What one writes by hand: modules, autograd, log-variances."""

    def __init__(self, n_features, n_hidden, n_latent, likelihood):
        super().__init__()
        self.likelihood = likelihood
        self.encoder = nn.Sequential(nn.Linear(n_features, n_hidden), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(n_hidden, n_latent), nn.Linear(n_hidden, n_latent)
        n_outputs = 2 * n_features if likelihood == "network" else n_features
        self.decoder = nn.Sequential(nn.Linear(n_latent, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_outputs))
        size = {"feature": n_features, "shared": 1}.get(likelihood, 0)
        self.noise = nn.Parameter(torch.zeros(size))

    def _log_likelihood(self, output, x):
        if self.likelihood == "bernoulli":
            return -F.binary_cross_entropy_with_logits(output, x.expand_as(output), reduction="none").sum(-1)
        if self.likelihood == "network":
            output, log_variance = output.chunk(2, -1)
        else:
            log_variance = self.noise if len(self.noise) else torch.zeros((), device=x.device)
        return -0.5 * ((x - output) ** 2 * torch.exp(-log_variance) + log_variance).sum(-1)

    def loss(self, x, n_draws=1, iwae=False):
        """Minus the mean ELBO with the closed-form KL, or minus the importance-weighted bound."""
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        shape = mean.shape if n_draws == 1 and not iwae else (n_draws, *mean.shape)
        noise = torch.randn(shape, device=x.device)
        z = mean + torch.exp(0.5 * log_variance) * noise
        log_likelihood = self._log_likelihood(self.decoder(z), x)
        if iwae:
            log_ratio = 0.5 * (noise**2 - z**2).sum(-1) + 0.5 * log_variance.sum(-1)
            return -torch.logsumexp(log_likelihood + log_ratio, 0).mean()
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)
        return (kl - log_likelihood).mean()


def plain_epoch(X, n_hidden, n_latent, likelihood, batch_size, *, n_draws=1, iwae=False, device="cpu"):
    """One epoch of the plain loop per call, the model living on: DataLoader, autograd, Adam."""
    model = PlainVAE(X.shape[1], n_hidden, n_latent, likelihood).to(device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    data = torch.utils.data.TensorDataset(torch.from_numpy(X))
    loader = torch.utils.data.DataLoader(data, batch_size=batch_size, shuffle=True)

    def epoch():
        for (x,) in loader:
            optimizer.zero_grad()
            model.loss(x.to(device), n_draws, iwae).backward()
            optimizer.step()
        if device != "cpu":
            torch.cuda.synchronize()

    return epoch


def pythae_epoch(X, n_hidden, n_latent, likelihood, batch_size, folder):
    """One epoch of pythae's trainer per call, without progress bar, evaluation and checkpoints."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import CallbackHandler

    n_features = X.shape[1]

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Sequential(nn.Linear(n_features, n_hidden), nn.ReLU())
            self.mean, self.log_variance = nn.Linear(n_hidden, n_latent), nn.Linear(n_hidden, n_latent)

        def forward(self, x):
            hidden = self.hidden(x)
            return ModelOutput(embedding=self.mean(hidden), log_covariance=self.log_variance(hidden))

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            end = [nn.Sigmoid()] if likelihood == "bernoulli" else []
            layers = [nn.Linear(n_latent, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_features), *end]
            self.layers = nn.Sequential(*layers)

        def forward(self, z):
            return ModelOutput(reconstruction=self.layers(z))

    loss = "bce" if likelihood == "bernoulli" else "mse"
    config = VAEConfig(input_dim=(n_features,), latent_dim=n_latent, reconstruction_loss=loss)
    trainer = BaseTrainer(
        VAE(config, encoder=Encoder(), decoder=Decoder()),
        train_dataset=BaseDataset(torch.from_numpy(X), torch.zeros(len(X))),
        training_config=BaseTrainerConfig(
            output_dir=folder, per_device_train_batch_size=batch_size, learning_rate=1e-3, no_cuda=True
        ),
    )
    trainer.set_optimizer()
    trainer.set_scheduler()
    trainer.callback_handler = CallbackHandler([], trainer.model)
    trainer.prepare_training()
    trainer.callback_handler = CallbackHandler([], trainer.model)
    count = iter(range(1, 10**9))
    return lambda: trainer.train_step(next(count))


def products_epoch(n_rows, n_features, n_hidden, n_code, n_latent, batch_size):
    """The matrix products of the steps of one epoch, without anything else, on preallocated buffers."""
    layers = [(n_features, n_hidden), (n_hidden, n_code), (n_latent, n_hidden), (n_hidden, n_features)]
    work = []
    for i, (a, b) in enumerate(layers):
        x, w, y = torch.randn(batch_size, a), torch.randn(a, b), torch.empty(batch_size, b)
        work += [(x, w, y), (x.t(), torch.randn(batch_size, b), torch.empty(a, b))]
        work += [(y.normal_(), w.t(), torch.empty(batch_size, a))] * (i > 0)

    def epoch():
        for _ in range(-(-n_rows // batch_size)):
            for a, b, out in work:
                torch.mm(a, b, out=out)

    return epoch


def skgen_epoch(estimator, X):
    """Seconds per epoch inside ``fit``, which goes on from the weights of the call before."""
    clock = TaskClock("epoch")
    estimator.set_params(warm_start=True, tol=0, n_iter_no_change=float("inf"), kl_warmup=0)
    estimator.set_callbacks(clock)

    def run():
        clock.times.clear()
        estimator.fit(X)
        return (clock.times[-1] - clock.times[0]) / (len(clock.times) - 1)

    return run
