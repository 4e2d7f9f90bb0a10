"""What a request for a piece or an `/ipfs/` path means, without a web framework.

A request becomes a plan: status, headers, and which bytes of which CARs to send. Errors of a request are values
(`Refusal`). The web servers of `ptolemy_dagster.http` turn plans into answers.
"""
