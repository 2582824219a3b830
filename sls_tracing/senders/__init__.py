"""Senders: bytes out, no policy. When to send, how much may wait and what is dropped then is the reporter's business."""
