"""Keeps our refusals and SendGrid's lists alike: what is listed there counts here, who leaves here is listed there.

Our own rows decide who is mailed; SendGrid's lists are the second barrier. The live way in are provider events; this is
the safety net below them, every night.
"""
