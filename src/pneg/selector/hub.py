"""Sending a selector to the Hugging Face hub."""

from pathlib import Path

from pneg.errors import DataError, ModelError, needs


def check(name: str) -> None:
    """Refuse a name that no repository can have, before anything is made that shall go there.

    Raises:
        DataError: when it is none.
    """
    with needs("selector"):
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise DataError(f"{name!r} is no name of a repository", "it is like me/my-selector") from error


def push(folder: Path, name: str) -> str:
    """Send a finished selector, model card and all; the account is the one `hf auth login` or HF_TOKEN names.

    Args:
        folder: of the selector.
        name: of the repository, such as `me/my-selector`; made if it is not there.

    Returns:
        Its address.

    Raises:
        ModelError: when the hub refuses it or is not reached; the folder stays as it is.
    """
    with needs("selector"):
        import huggingface_hub
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    try:
        address = huggingface_hub.create_repo(name, exist_ok=True)
        huggingface_hub.upload_folder(repo_id=name, folder_path=folder, commit_message="A response selector")
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        said = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{name} was not sent to the hub: {said}; the selector is in {folder}: log in with `hf auth login`, then "
            f"`hf upload {name} {folder}` sends it"
        ) from error
    return str(address)
