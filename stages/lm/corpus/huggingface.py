"""Files of data sets on the Hugging Face hub, through huggingface_hub and its cache (HF_HOME, HF_HUB_OFFLINE)."""

from pathlib import Path

from stages.lm.errors import UserError


def fetch_file(repo: str, name: str, revision: str) -> Path:
    """The local path of a file of a data set, from the cache or downloaded into it. Raises UserError where neither works."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = f"{repo}/{name} (data set, revision {revision})"
    try:
        return Path(hf_hub_download(repo, name, repo_type="dataset", revision=revision))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        raise UserError(
            f"{where}: is not in the local cache and the Hugging Face hub cannot be reached; connect to the network and unset "
            "HF_HUB_OFFLINE, or copy the cache (HF_HOME) from a machine that has it"
        ) from None
    except GatedRepoError:
        raise UserError(f"{where}: access must be granted; accept its terms on the hub and set HF_TOKEN") from None
    except RepositoryNotFoundError:
        raise UserError(f"{where}: the hub knows no such data set, or it is private; check repo, or set HF_TOKEN") from None
    except RevisionNotFoundError:
        raise UserError(f"{where}: the data set has no such revision; check revision") from None
    except EntryNotFoundError:
        raise UserError(f"{where}: the data set has no such file; check files") from None
    except HfHubHTTPError as error:
        raise UserError(f"{where}: the hub answers {error}; try again later") from None
