"""Pieces of example results, as scripts/compare_models.py and finetune.py write them."""


def point(step, loss, auc=None):
    own = {} if auc is None else {"rtd_loss": 0.3, "rtd_auc": auc, "rtd_auc_unigram": auc + 0.1}
    return {
        "step": step,
        "minutes": step / 10,
        "tokens": step * 4096,
        "mlm_loss": loss,
        "mlm_acc": 0.2,
        **own,
    }


def run(name, objective, init=None, curve=()):
    return {
        "name": name,
        "objective": objective,
        "stage": "post-pre-training" if init else "pre-training",
        "init": init,
        "command": f"python train.py --out runs/{name}",
        "minutes": 60.0,
        "steps": 600,
        "tokens": 600 * 4096,
        "tokens_per_s": 682.7,
        "flops": 3.1e14,
        "curve": list(curve),
    }


def scores(head_dev, dev, test, seeds=(1, 2, 3)):
    return {
        "metric": "accuracy",
        "seeds": list(seeds),
        "head_dev": head_dev,
        "dev": dev,
        "test": test,
        "seconds": 61.5,
        "command": "python finetune.py --seeds 1,2,3",
    }


def token(original, shown=None, p=0.1, masked=False, space=True):
    return {
        "original": original,
        "shown": shown or original,
        "replaced": shown is not None,
        "masked": masked or shown is not None,
        "p": p,
        "space": space,
    }


def seed(number, dev, test, collapsed=False):
    return {
        "seed": number,
        "dev": dev,
        "test": test,
        "dev_metrics": {"accuracy": dev, "f1": dev - 0.05},
        "test_metrics": {"accuracy": test, "f1": test - 0.04},
        "dev_last_epoch": dev - 0.01,
        "dev_head_only": None,
        "loss": 0.4,
        "ece": 0.062,
        "collapsed": collapsed,
        "retried": collapsed,
    }


def bin_(low, count, confidence, accuracy):
    return {
        "from": low,
        "to": round(low + 0.1, 1),
        "count": count,
        "confidence": confidence,
        "accuracy": accuracy,
    }
