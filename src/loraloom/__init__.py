"""LoraLoom: an adapter is plain data about named weights; the rest trains, mixes and judges it."""
