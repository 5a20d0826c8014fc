"""The client of a model hub: what is listed, downloaded, on disk and chosen."""
