"""What several test files share: small clips, videos, options, result folders and weights."""
