// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// Checkpoints of append-only ledgers. Everybody anchors under their own account, as many ledgers as they
/// like; nobody owns the contract, and nothing in it can be changed or removed. A ledger is named by the
/// SHA-256 of its origin's text, so that no name stands on the chain. Roots are RFC 6962 Merkle roots.
contract ConsiliumAnchor {
    struct Entry {
        bytes32 root;
        uint64 size;
        uint64 blockNumber;
        uint64 time;
    }

    mapping(address member => mapping(bytes32 origin => Entry[])) private anchored;

    /// The `index`-th checkpoint of that ledger, from 0; the first one's previous size and root are 0.
    event Anchored(
        address indexed member,
        bytes32 indexed origin,
        uint64 indexed index,
        uint64 previousSize,
        bytes32 previousRoot,
        uint64 size,
        bytes32 root
    );

    /// What stands there is another checkpoint than the one that the caller continues.
    error NotCurrent(uint64 size, bytes32 root);
    /// A ledger only grows.
    error NotLarger(uint64 previousSize, uint64 size);
    error NoRoot();
    error NoSuchEntry(uint64 count);

    function anchor(bytes32 origin, uint64 previousSize, bytes32 previousRoot, uint64 size, bytes32 root) external {
        Entry[] storage entries_ = anchored[msg.sender][origin];
        uint256 n = entries_.length;
        uint64 standingSize;
        bytes32 standingRoot;
        if (n != 0) {
            Entry storage last = entries_[n - 1];
            standingSize = last.size;
            standingRoot = last.root;
        }
        if (standingSize != previousSize || standingRoot != previousRoot) {
            revert NotCurrent(standingSize, standingRoot);
        }
        if (size <= previousSize) {
            revert NotLarger(previousSize, size);
        }
        if (root == 0) {
            revert NoRoot();
        }
        entries_.push(Entry(root, size, uint64(block.number), uint64(block.timestamp)));
        emit Anchored(msg.sender, origin, uint64(n), previousSize, previousRoot, size, root);
    }

    function count(address member, bytes32 origin) external view returns (uint64) {
        return uint64(anchored[member][origin].length);
    }

    /// The newest checkpoint, and how many there are; all zero when there is none.
    function head(address member, bytes32 origin)
        external
        view
        returns (uint64 n, bytes32 root, uint64 size, uint64 blockNumber, uint64 time)
    {
        Entry[] storage entries_ = anchored[member][origin];
        n = uint64(entries_.length);
        if (n != 0) {
            Entry storage last = entries_[n - 1];
            (root, size, blockNumber, time) = (last.root, last.size, last.blockNumber, last.time);
        }
    }

    function entry(address member, bytes32 origin, uint64 index)
        external
        view
        returns (bytes32 root, uint64 size, uint64 blockNumber, uint64 time)
    {
        Entry[] storage entries_ = anchored[member][origin];
        if (index >= entries_.length) {
            revert NoSuchEntry(uint64(entries_.length));
        }
        Entry storage e = entries_[index];
        return (e.root, e.size, e.blockNumber, e.time);
    }

    /// At most `most` of them from `from` on; none past the end.
    function entries(address member, bytes32 origin, uint64 from, uint64 most)
        external
        view
        returns (Entry[] memory page)
    {
        Entry[] storage entries_ = anchored[member][origin];
        uint256 n = from < entries_.length ? entries_.length - from : 0;
        n = n < most ? n : most;
        page = new Entry[](n);
        for (uint256 i = 0; i < n; i++) {
            page[i] = entries_[from + i];
        }
    }
}
