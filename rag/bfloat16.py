"""Whether a device computes in bfloat16; one that does not is several times slower in it than in float32."""

from __future__ import annotations

SLOW = "has no instructions for bfloat16, which takes it several times as long as float32"


def computes_bfloat16(device: str) -> bool | None:
    """Whether a torch device, a CUDA GPU or a CPU, has instructions for bfloat16; None where torch does not say."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    if kind != "cpu":
        return None
    able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    told = [able[name] for name in ("avx512_bf16", "amx_bf16") if name in able]
    return any(told) if told else None
