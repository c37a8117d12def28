"""The deployer: a TOSCA template in, configured machines out.

Layers (import-linter checks them): cli -> services -> execute -> configure | providers | state -> flash ->
inventory | remote | auth -> plan -> tosca -> topology -> infracore.
Never imports `clues`. Tests: `tests/im_client/`.
"""
